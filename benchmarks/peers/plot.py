"""plot.py RESULTS.jsonl OUT.svg: CPU seconds of each system and phase as a ratio to tuned DuckDB of the same
run; with history results (labels like `90d …`), CPU of a fresh batch against days of history."""
import collections, json, re, statistics, sys
import matplotlib
matplotlib.use("svg")
import matplotlib.pyplot as plt

matplotlib.rcParams.update({"svg.hashsalt": "tidewatch", "svg.fonttype": "none", "font.size": 9})
NAMES = {"cold_s": "cold", "restate_partial_s": "restatement", "fresh_partial_s": "fresh 10k"}
found = collections.defaultdict(list)
for line in open(sys.argv[1]):
    r = json.loads(line)
    metric = {"restate_s": "restate_partial_s", "fresh_s": "fresh_partial_s"}.get(r["metric"], r["metric"])
    if metric in NAMES and r.get("cpu_s") is not None:
        found[r["system"], metric].append(r["cpu_s"])
cpu = {key: statistics.median(values) for key, values in found.items()}
systems = list(dict.fromkeys(system for system, _ in found))
lengths = [re.match(r"(\d+)d (.*)", s) for s in systems]
figure, axes = plt.subplots(figsize=(6.4, 3.2))
if all(lengths):
    for system in dict.fromkeys(m.group(2) for m in lengths):
        days = [int(m.group(1)) for m in lengths if m.group(2) == system]
        axes.plot(days, [1000 * cpu[f"{d}d {system}", "fresh_partial_s"] for d in days], marker="o", label=system)
    axes.set(xlabel="days of history", ylabel="CPU ms of a fresh batch of 10,000 events", ylim=(0, None))
else:
    width = 0.8 / len(NAMES)
    for at, (metric, name) in enumerate(NAMES.items()):
        base = cpu.get(("duckdb_lag", metric))
        ratios = [cpu.get((s, metric), 0) / base for s in systems]
        axes.barh([y + at * width for y in range(len(systems))], ratios, width, label=name)
    axes.set_yticks([y + width for y in range(len(systems))], systems)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set(xlabel="CPU seconds, as a ratio to tuned DuckDB of the same run (less is better)")
axes.legend(frameon=False)
for side in ("top", "right"):
    axes.spines[side].set_visible(False)
figure.tight_layout()
figure.savefig(sys.argv[2], metadata={"Date": None})
