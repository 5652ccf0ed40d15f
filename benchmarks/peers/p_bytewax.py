"""Bytewax: Python dataflow. Source emits one Arrow-aggregated (campaign,hour) partial per file (the user pre-aggregates with Arrow, else Python per event
is ~0.1-0.3 M ev/s: BW_MODE=events measures that). stateful_flat_map per campaign keeps dense numpy hours; emits recomputed rows.
Restatements are possible only because WE wrote the state logic: Bytewax' own windowing drops late items and cannot retract."""
import os
from common import *
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
d, meta, out = args(); MODE = os.environ.get("BW_MODE", "partial"); emit("import_s", time.perf_counter() - T0, mode=MODE)
H0 = int(np.datetime64("2025-01-06", "h").astype(int)); NH = (meta["days"] + 2) * 24
files = sorted(glob.glob(f"{d}/lake/*/*.parquet")); upd = [f"{d}/corrections/restate.parquet"] + [f"{d}/corrections/fresh-{k}.parquet" for k in range(4)]
marks = dict(rows=0)
def partial(f):
    t = pq.ParquetFile(f).read(); df = t.column("_diff") if "_diff" in t.column_names else None
    cols = {SRC[s]: (pc.multiply(t[SRC[s]], df) if df is not None else t[SRC[s]]) for s in SUMS}
    g = pa.table({"c": t["campaign_id"], "h": pc.divide(t["event_time"].cast(pa.int64()), 3_600_000_000), **cols, "n": df if df is not None else pa.array(np.ones(len(t), np.int64))})
    a = g.group_by(["c", "h"]).aggregate([(x, "sum") for x in list(SRC.values()) + ["n"]]).sort_by("c")
    M = np.stack([a[x].to_numpy() for x in a.column_names], 1); names = a.column_names; ci, hi = names.index("c"), names.index("h")
    v = M[:, [names.index(x + "_sum") for x in list(SRC.values()) + ["n"]]]; c = M[:, ci]; h = M[:, hi] - H0
    cut = np.flatnonzero(np.diff(c)) + 1; s = np.concatenate([[0], cut]); e = np.concatenate([cut, [len(c)]])
    return [(str(c[i]), (h[i:j], v[i:j])) for i, j in zip(s, e)]
class Part(StatelessSourcePartition):
    def __init__(s): s.q = list(files); s.u = list(upd); s.t = None; s.what = "cold_s"; s.t = time.perf_counter(); s.c = cpu(); s.n = 0
    def next_batch(s):
        # run_main with one worker: a batch is fully pushed through before the next poll -> timing at the next poll
        if s.q:
            f = s.q.pop(0)
            return partial(f) if MODE == "partial" else events(f)
        emit(s.what, time.perf_counter() - s.t, mode=MODE, rows_out=marks["rows"], cpu_s=round(cpu() - s.c, 2)); marks["rows"] = 0
        if not s.u or MODE == "events": raise StopIteration()
        f = s.u.pop(0); s.what = "restate_s" if "restate" in f else "fresh_s"; s.q = [f]; s.t = time.perf_counter(); s.c = cpu(); return []
class Src(DynamicSource):
    def build(s, step, i, n): return Part()
def events(f):
    t = pq.ParquetFile(f).read(columns=["campaign_id", "event_time"] + list(SRC.values())); h = (t["event_time"].cast(pa.int64()).to_numpy() // 3_600_000_000 - H0).tolist()
    return list(zip(map(str, t["campaign_id"].to_pylist()), zip(h, *[t[SRC[x]].to_pylist() for x in SUMS])))
def logic(st, v):
    if MODE == "events":
        if st is None: st = {}
        r = st.get(v[0])
        if r is None: st[v[0]] = list(v[1:])
        else:
            for k in range(5): r[k] += v[k + 1]
        return st, []
    if st is None: st = np.zeros((6, NH + 168), np.int64)
    h, x = v; np.add.at(st, (slice(None), h + 168), x.T) if len(h) > 1 else st.__setitem__((slice(None), h + 168), st[:, h + 168] + x.T)
    lo = int(h[0]) if len(h) == 1 else int(h.min()); hi = int(h.max())
    top = min(NH, hi + 168); seg = st[:5, lo:top + 168]; cs = np.cumsum(seg, axis=1); act = np.flatnonzero(st[5, lo + 168:top + 168] > 0) + 168
    if len(act) == 0: return st, []
    s24 = cs[:, act] - cs[:, act - 24]; s7 = cs[:, act] - cs[:, act - 168]; hh = act - 168 + lo; res = [seg[:, act], s24, s7]
    if hi >= 504:
        b = 168 + hh; L = np.stack([np.where((b - 168 * k >= 168) & (st[5, b - 168 * k] > 0), st[[2, 4]][:, b - 168 * k], np.nan) for k in (1, 2, 3, 4)])
        ok = (~np.isnan(L[:, 0])).sum(0) >= 3
        if ok.any():
            L = L[:, :, ok]; m = np.nanmedian(L, axis=0); mad = np.nanmedian(np.abs(L - m), axis=0); z = .6745 * (st[[2, 4]][:, b[ok]] - m) / np.maximum(np.maximum(mad, .05 * np.abs(m)), 1.0); res.append(z)
    return st, [(hh, res)]
class SP(StatelessSinkPartition):
    def write_batch(s, items):
        for _, (hh, _r) in items: marks["rows"] += len(hh)
class Snk(DynamicSink):
    def build(s, step, i, n): return SP()
flow = Dataflow("f"); st = op.input("in", flow, Src()); o = op.stateful_flat_map("agg", st, logic); op.output("out", o, Snk())
run_main(flow)
