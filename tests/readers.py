"""Independent judges: the committed tables, read by deltalake, Polars and DuckDB.

    python tests/readers.py LAKE TIDEWATCH

Each reader's rows of each view have to be the rows `tidewatch sql` shows.
"""

import csv
import io
import pathlib
import subprocess
import sys

import deltalake
import duckdb
import polars
import pyarrow.compute as pc

lake, program = pathlib.Path(sys.argv[1]), sys.argv[2]
passed = failed = 0
for view in sorted(p for p in (lake / "views").iterdir()):
    table = max(view.iterdir())
    query = ["sql", "--lake", str(lake), "--format", "csv", f"SELECT count(*) AS n FROM {view.name}"]
    out = subprocess.run([program, *query], capture_output=True, text=True, check=True).stdout
    want = int(next(csv.DictReader(io.StringIO(out)))["n"])
    delta = deltalake.DeltaTable(str(table))
    arrow = delta.to_pyarrow_dataset().to_table()
    frame = polars.read_delta(str(table))
    files = [str(table / f) for f in delta.to_pyarrow_dataset().files] if want else []
    rows = {
        "deltalake": arrow.num_rows,
        "polars": frame.height,
        "duckdb": duckdb.sql("SELECT count(*) FROM arrow").fetchall()[0][0],
    }
    for reader, got in rows.items():
        if got == want:
            passed += 1
        else:
            failed += 1
            print(f"{view.name}: {reader} reads {got} rows, tidewatch {want}")
    stats = delta.get_add_actions(flatten=True)
    sizes = stats.column("num_records").to_pylist() if want else []
    same = sum(sizes) == arrow.num_rows
    if view.name == "campaign_features":
        # Readers skip files by these: they have to say what is in the table.
        hours = arrow.column("metric_hour")
        bounds = min(stats.column("min.metric_hour").to_pylist()), max(stats.column("max.metric_hour").to_pylist())
        told = tuple(str(b).replace("+00:00", "") for b in bounds)
        same &= told == (str(pc.min(hours)), str(pc.max(hours)))
        middle = hours.to_pylist()[len(hours) // 2]
        want = sum(hour >= middle for hour in hours.to_pylist())
        dataset = delta.to_pyarrow_dataset()
        same &= dataset.to_table(filter=pc.field("metric_hour") >= middle).num_rows == want
        lazy = polars.scan_delta(str(table)).filter(polars.col("metric_hour") >= middle)
        same &= lazy.collect().height == want
    passed, failed = passed + same, failed + (not same)
    if not same:
        print(f"{view.name}: the statistics of its files are wrong")
    if view.name == "campaign_features":
        query[-1] = "SELECT campaign_id, sum(cost_micros) AS cost, sum(clicks) AS clicks FROM campaign_features GROUP BY 1 ORDER BY 1"
        out = subprocess.run([program, *query], capture_output=True, text=True, check=True).stdout
        want = [tuple(r) for r in csv.reader(io.StringIO(out))][1:]
        got = frame.group_by("campaign_id").agg(
            polars.col("cost_micros").sum(), polars.col("clicks").sum()
        ).sort("campaign_id").rows()
        same = [tuple(str(v) for v in r) for r in got] == want
        passed, failed = passed + same, failed + (not same)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
