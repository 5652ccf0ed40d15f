"""Tables that the deltalake package writes, as sources: a view follows them through appends, updates,
deletes, merges, compaction, checkpoints, cleaning and schema changes, and equals the table each time.

    python tests/delta_source.py TIDEWATCH
"""

import pathlib
import subprocess
import sys
import tempfile

import deltalake
import pyarrow as pa

program = sys.argv[1]
checks = []


def run(*args, lake):
    done = subprocess.run([program, "--quiet", *args, "--lake", str(lake)], capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done


def follow(what, table, lake, sql, columns):
    done = run("run", str(sql), "--once", lake=lake)
    verified = run("verify", lake=lake).stdout
    rows = run("sql", "--format", "csv", f"SELECT {columns} FROM s", lake=lake).stdout
    mine = sorted(rows.splitlines()[1:])
    frame = deltalake.DeltaTable(table).to_pyarrow_table()
    names = columns.split(", ")
    theirs = sorted(
        ",".join("" if r[c] is None else str(r[c]) for c in names) for r in frame.to_pylist()
    )
    ok = done.returncode == 0 and mine == theirs and " 0 differences" in verified
    print(f"{what}: {len(mine)} rows, {'equal' if ok else f'DIFFERENT: {mine[:5]} {theirs[:5]}'}")
    checks.append(ok)


def rows(start, n, platform, **more):
    ids = list(range(start, start + n))
    plain = {"k": pa.array(ids, pa.int64()), "v": pa.array([i * 10 for i in ids], pa.int64())}
    more = {name: pa.array([value] * n) for name, value in more.items()}
    return pa.table({**plain, "platform": [platform] * n, **more})


with tempfile.TemporaryDirectory() as folder:
    lake = pathlib.Path(folder) / "lake"
    table = lake / "t"
    table.mkdir(parents=True)
    sql = pathlib.Path(folder) / "v.sql"
    columns = "k BIGINT NOT NULL, v BIGINT, platform VARCHAR"

    def declare(columns, names):
        sql.write_text(
            f"CREATE SOURCE t ({columns}) WITH (location = 't/', format = 'delta', mode = 'replace');"
            f"CREATE MATERIALIZED VIEW s AS SELECT {names} FROM t;"
        )

    def write(data, **options):
        deltalake.write_deltalake(table, data, **options)

    names = "k, v, platform"
    declare(columns, names)
    write(rows(0, 50, "meta"), partition_by=["platform"])
    write(rows(50, 50, "a b/c:d"), mode="append")
    follow("two appends, partitioned", table, lake, sql, names)
    deltalake.DeltaTable(table).update(updates={"v": "v + 1"}, predicate="k % 7 = 0")
    follow("update", table, lake, sql, names)
    deltalake.DeltaTable(table).delete("k < 20")
    follow("delete", table, lake, sql, names)
    merge = deltalake.DeltaTable(table).merge(
        rows(90, 30, "meta"), predicate="s.k = t.k", source_alias="s", target_alias="t"
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    follow("merge", table, lake, sql, names)
    deltalake.DeltaTable(table).optimize.compact()
    deltalake.DeltaTable(table).create_checkpoint()
    write(rows(200, 5, "tiktok"), mode="append")
    follow("compaction and checkpoint", table, lake, sql, names)
    deltalake.DeltaTable(table).cleanup_metadata()
    deltalake.DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    follow("cleaning", table, lake, sql, names)
    write(rows(300, 5, "x", w=7), mode="append", schema_mode="merge")
    names += ", w"
    declare(columns + ", w BIGINT", names)
    follow("added column", table, lake, sql, names)
    write(rows(400, 3, "x", w=8), mode="overwrite")
    follow("overwrite", table, lake, sql, names)

    # A table with a change data feed: its `cdc` actions and files say again what the live files say.
    lake = pathlib.Path(folder) / "fed"
    table = lake / "t"
    table.mkdir(parents=True)
    names = "k, v, platform"
    declare(columns, names)
    fed = {"delta.enableChangeDataFeed": "true"}
    write(rows(0, 1000, "meta"), configuration=fed)
    follow("change data feed, written", table, lake, sql, names)
    deltalake.DeltaTable(table).update(updates={"v": "v + 1"}, predicate="k % 7 = 0")
    follow("change data feed, update", table, lake, sql, names)
    deltalake.DeltaTable(table).delete("k % 11 = 0")
    merge = deltalake.DeltaTable(table).merge(
        rows(990, 30, "x"), predicate="s.k = t.k", source_alias="s", target_alias="t"
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    follow("change data feed, delete and merge between two looks", table, lake, sql, names)
    log = "".join(p.read_text() for p in sorted((table / "_delta_log").glob("*.json")))
    there = any((table / "_change_data").rglob("*.parquet")) and '"cdc":' in log
    print(f"change data feed: {'there' if there else 'NOT THERE, nothing was tested'}")
    checks.append(there)

print(f"{sum(checks)} passed, {len(checks) - sum(checks)} failed")
sys.exit(not all(checks))
