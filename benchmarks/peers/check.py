"""check.py OUTDIR...: sums over every answer, cold and after the restatement, so that every system is
seen to have done the same job. Exit 1 if two differ."""
import glob, json, sys
import duckdb


def delta(table, version):
    """Files of a Delta table at a version, by its JSON log alone."""
    live = set()
    for n in range(version + 1):
        for line in open(f"{table}/_delta_log/{n:020}.json"):
            action = json.loads(line)
            if "add" in action: live.add(action["add"]["path"])
            if "remove" in action: live.discard(action["remove"]["path"])
    return [f"{table}/{f}" for f in sorted(live)]


def answers(folder):
    """(phase, files) of what a system wrote."""
    for table in glob.glob(f"{folder}/lake/views/benchmark_features/*"):
        yield "cold", delta(table, 0)
        yield "restated", delta(table, 1)
    for name, phase in (("features", "cold"), ("features_p", "restated")):
        found = glob.glob(f"{folder}/{name}.parquet")
        if found: yield phase, found


seen, bad = {}, False
for folder in sys.argv[1:]:
    for phase, files in answers(folder):
        columns = "count(*), sum(spend), sum(rev), sum(spend_24h), sum(rev_7d), round(sum(roas_7d), 2), count(score_spend), round(sum(score_spend), 1), round(sum(score_rev), 1), count(*) filter (abs(score_spend) > 6)"
        row = duckdb.sql(f"select {columns} from read_parquet({files!r})").fetchall()[0]
        row = tuple(float(v) if v is not None else None for v in row)
        same = all(abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1) for a, b in zip(row, seen.setdefault(phase, row)))
        bad |= not same
        print(f"{'ok ' if same else 'BAD'} {phase:9} {folder.rsplit('/', 1)[-1]:24}", *row)
sys.exit(bad)
