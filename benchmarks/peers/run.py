#!/usr/bin/env python3
"""Tidewatch beside its peers on the same lake: one command.

  benchmarks/peers/run.py [--size 2m|20m|100m] [--rounds 3] [--peers duckdb_lag,chdb,polars,bytewax]

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


def table(found, systems, base):
    def middle(system, metric, key):
        values = [r[key] for r in found[system, metric] if r.get(key) is not None]
        return statistics.median(values) if values else None
    print(f"\n| system | {' | '.join(f'{n} cpu s | ratio | wall s' for _, n in PHASES)} | peak MB | ratio |")
    print("|" + "---|" * (3 + 3 * len(PHASES)))
    for system in systems:
        cells = []
        for metric, _ in PHASES:
            cpu, wall = middle(system, metric, "cpu_s"), middle(system, metric, "value")
            reference = middle(base, metric, "cpu_s")
            if cpu is None:
                cells += ["–", "–", "–"]
                continue
            cells += [f"{cpu:.3f}", f"{cpu / reference:.3f}" if reference else "–", f"{wall:.3f}"]
        peak, reference = middle(system, "peak_rss_mb", "value"), middle(base, "peak_rss_mb", "value")
        cells += [f"{peak:.0f}", f"{peak / reference:.2f}"] if peak and reference else ["–", "–"]
        print(f"| {system} | {' | '.join(cells)} |")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parse.add_argument("--size", default="2m", choices=SIZES)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--peers", default="duckdb_lag,chdb,polars,bytewax")
    parse.add_argument("--work", type=Path, default=Path.home() / ".cache/tidewatch/peers")
    args = parse.parse_args()
    work = args.work
    work.mkdir(parents=True, exist_ok=True)
    data = work / "data" / args.size
    if not (data / "meta.json").exists():
        rows, campaigns = SIZES[args.size]
        command = [python(work, "base"), str(HERE / "gen.py"), "--out", str(data)]
        subprocess.run([*command, "--rows", str(rows), "--campaigns", str(campaigns)], check=True)
    features, peers = build(), [p for p in args.peers.split(",") if p]
    results = work / f"results-{args.size}.jsonl"
    results.unlink(missing_ok=True)
    outs = {}
    for round in range(args.rounds):
        print(f"round {round + 1} of {args.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
        for peer in peers:
            command = [python(work, VENV[peer]), str(HERE / f"p_{peer}.py"), str(data)]
            outs[peer] = measured(work, results, peer, command, {"THREADS": "2"})
        for workers in (1, 2):
            command = [features, str(data), "--workers", str(workers)]
            measured(work, results, f"tidewatch visible, {workers}", command, {})
            name = f"tidewatch durable, {workers}"
            folder = work / "out" / name / "lake"
            outs[name] = measured(work, results, name, [*command, "--durable", str(folder)], {})
    systems = [*peers, *(f"tidewatch {k}, {n}" for n in (1, 2) for k in ("visible", "durable"))]
    table(figures(results), systems, "duckdb_lag")
    print("\nsums over the answers after the restatement (all lines have to agree):", flush=True)
    subprocess.run([python(work, "base"), str(HERE / "check.py"), *map(str, outs.values())], check=True)


if __name__ == "__main__":
    main()
