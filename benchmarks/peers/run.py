#!/usr/bin/env python3
"""Tidewatch beside its peers on the same lake: one command.

  benchmarks/peers/run.py [--size 2m|20m|100m] [--rounds 3] [--peers duckdb_lag,chdb,polars,bytewax]
  benchmarks/peers/run.py --source upsert      hourly totals with versions instead of events and their corrections
  benchmarks/peers/run.py --size 200k --history 30,90,365      a fresh batch after a longer and longer history

Generates the lake (deterministic), makes one virtual environment per peer, runs every system in
alternating rounds, checks that all answers agree, and prints CPU seconds, wall seconds and peak
memory, each also as a ratio to tuned DuckDB of the same round. Data, environments and raw lines
stay in --work (default: ~/.cache/tidewatch/peers).
"""
import argparse, collections, json, os, statistics, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZES = {"200k": (200_000, 1_000), "2m": (2_000_000, 5_000), "20m": (20_000_000, 8_000),
         "100m": (100_000_000, 8_000)}
PACKAGES = {"base": "numpy pyarrow duckdb polars psutil", "chdb": "chdb pyarrow numpy psutil",
            "bytewax": "bytewax pyarrow numpy psutil"}
VENV = {"duckdb_lag": "base", "polars": "base", "chdb": "chdb", "bytewax": "bytewax"}
PHASES = [("cold_s", "cold"), ("restate_partial_s", "restatement"), ("fresh_partial_s", "fresh 10k")]


def python(work, name):
    venv = work / "venv" / name
    if not (venv / ".ready").exists():
        print(f"environment {name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "-q", *PACKAGES[name].split()], check=True)
        (venv / ".ready").touch()
    return str(venv / "bin/python")


def build():
    root = HERE.parent.parent
    command = ["cargo", "build", "--release", "--workspace", "--example", "features"]
    subprocess.run(command, cwd=root, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    return str(target / "release/examples/features")


def measured(work, results, system, command, env):
    (work / "logs").mkdir(exist_ok=True)
    out = work / "out" / system
    subprocess.run(["rm", "-rf", out], check=True)
    out.mkdir(parents=True)
    run = [python(work, "base"), str(HERE / "measure.py"), str(results), system, "--", *command]
    env = {**os.environ, **env, "PEER_OUT": str(out)}
    with open(work / "logs" / f"run_{system}.out", "w") as log:
        subprocess.run(run, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
    return out


def figures(results):
    """{(system, metric): [records in order]}"""
    found = collections.defaultdict(list)
    for line in open(results):
        record = json.loads(line)
        metric = {"restate_s": "restate_partial_s", "fresh_s": "fresh_partial_s"}.get(
            record["metric"], record["metric"])
        found[record["system"], metric].append(record)
    return found


def middle(found, system, metric, key):
    values = [r[key] for r in found[system, metric] if r.get(key) is not None]
    return statistics.median(values) if values else None


def table(found, systems, base):
    print(f"\n| system | {' | '.join(f'{n} cpu s | ratio | wall s' for _, n in PHASES)} | peak MB | ratio |")
    print("|" + "---|" * (3 + 3 * len(PHASES)))
    for system in systems:
        cells = []
        for metric, _ in PHASES:
            cpu, wall = middle(found, system, metric, "cpu_s"), middle(found, system, metric, "value")
            reference = middle(found, base, metric, "cpu_s")
            if cpu is None:
                cells += ["–", "–", "–"]
                continue
            cells += [f"{cpu:.3f}", f"{cpu / reference:.3f}" if reference else "–", f"{wall:.3f}"]
        peak, reference = (middle(found, s, "peak_rss_mb", "value") for s in (system, base))
        cells += [f"{peak:.0f}", f"{peak / reference:.2f}"] if peak and reference else ["–", "–"]
        print(f"| {system} | {' | '.join(cells)} |")


def generated(work, name, rows, campaigns, days=30):
    """The lake called `name`, made if it is not there. However long the history, as much is restated."""
    data = work / "data" / name
    if not (data / "meta.json").exists():
        command = [python(work, "base"), str(HERE / "gen.py"), "--out", str(data), "--days", str(days)]
        command += ["--restate-frac", str(0.03 / days)]
        subprocess.run([*command, "--rows", str(rows), "--campaigns", str(campaigns)], check=True)
    if not (data / "hourly/fresh-9.parquet").exists():
        subprocess.run([python(work, "base"), str(HERE / "cells.py"), str(data)], check=True)
    return data


def rounds(args, work, data, results, peers, workers, features, label=""):
    """Every system in turns; where each left its answers."""
    outs = {}
    upsert = ["--upsert"] if args.source == "upsert" else []
    for round in range(args.rounds):
        print(f"{label}round {round + 1} of {args.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
        for peer in peers:
            command = [python(work, VENV[peer]), str(HERE / f"p_{peer}.py"), str(data)]
            env = {"THREADS": "2", "SOURCE": args.source}
            outs[peer] = measured(work, results, label + peer, command, env)
        for n in workers:
            command = [features, str(data), "--workers", str(n), *upsert]
            measured(work, results, f"{label}tidewatch visible, {n}", command, {})
            name = f"{label}tidewatch durable, {n}"
            folder = work / "out" / name / "lake"
            outs[name] = measured(work, results, name, [*command, "--durable", str(folder)], {})
    return outs


def history(args, work, peers, features):
    """What a fresh batch costs after histories of several lengths, the same events a day."""
    rows, campaigns = SIZES[args.size]
    all_days = [int(d) for d in args.history.split(",")]
    results = work / f"results-history-{args.size}-{args.source}.jsonl"
    results.unlink(missing_ok=True)
    datas = [generated(work, f"{args.size}-{d}d", rows * d // 30, campaigns, d) for d in all_days]
    # The lengths take turns too: round by round.
    once = argparse.Namespace(**{**vars(args), "rounds": 1})
    for round in range(args.rounds):
        for days, data in zip(all_days, datas):
            rounds(once, work, data, results, peers, (1,), features, f"{days}d ")
    found = figures(results)
    systems = [*peers, "tidewatch visible, 1", "tidewatch durable, 1"]
    print(f"\n| fresh 10k, ms of CPU | {' | '.join(f'{d} days' for d in all_days)} | last / first |")
    print("|" + "---|" * (2 + len(all_days)))
    for system in systems:
        cpu = [middle(found, f"{d}d {system}", "fresh_partial_s", "cpu_s") for d in all_days]
        if None not in cpu:
            cells = " | ".join(f"{1000 * c:.0f}" for c in cpu)
            print(f"| {system} | {cells} | {cpu[-1] / max(cpu[0], 1e-9):.2f} |")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parse.add_argument("--size", default="2m", choices=SIZES)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--peers", default=None)
    parse.add_argument("--source", default="changes", choices=["changes", "upsert"])
    parse.add_argument("--history", default="", help="days, e.g. 30,90,365")
    parse.add_argument("--program", help="the example `features`, if it is built already")
    parse.add_argument("--work", type=Path, default=Path.home() / ".cache/tidewatch/peers")
    args = parse.parse_args()
    work = args.work
    work.mkdir(parents=True, exist_ok=True)
    # The others read events only.
    few = args.history or args.source == "upsert"
    peers = args.peers if args.peers is not None else "duckdb_lag" if few else "duckdb_lag,chdb,polars,bytewax"
    features, peers = args.program or build(), [p for p in peers.split(",") if p]
    if args.history:
        return history(args, work, peers, features)
    data = generated(work, args.size, *SIZES[args.size])
    results = work / f"results-{args.size}-{args.source}.jsonl"
    results.unlink(missing_ok=True)
    outs = rounds(args, work, data, results, peers, (1, 2), features)
    systems = [*peers, *(f"tidewatch {k}, {n}" for n in (1, 2) for k in ("visible", "durable"))]
    table(figures(results), systems, "duckdb_lag")
    print("\nsums over the answers after the restatement (all lines have to agree):", flush=True)
    subprocess.run([python(work, "base"), str(HERE / "check.py"), *map(str, outs.values())], check=True)


if __name__ == "__main__":
    main()
