#!/usr/bin/env python3
"""Deterministic generator of the 'campaign features' benchmark data (numpy + pyarrow).

  gen.py --out data/s20m --rows 20_000_000 --campaigns 8000 --days 30 --seed 42

Layout written below --out:
  lake/day=YYYY-MM-DD/part-0.parquet   base events, one file per day, sorted by event_time, snappy, 122880-row groups
  corrections/restate.parquet              corrections: retract+insert rows (column _diff=-1 old / +1 new) for
                                       --restate-frac of ALL campaign-hours, chosen among the last 7 days
  upsert/upsert.parquet               the same corrections as upserts (new rows only, keyed by event_id)
  corrections/fresh-K.parquet (K=0..9)       10 micro-batches of --fresh events each, in the hour after the history ends
  meta.json                            counts, true anomalies, hash
"""
import argparse, json, os, shutil, time
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

ap = argparse.ArgumentParser()
ap.add_argument("--out", required=True); ap.add_argument("--rows", type=int, default=2_000_000)
ap.add_argument("--campaigns", type=int, default=8000); ap.add_argument("--days", type=int, default=30)
ap.add_argument("--seed", type=int, default=42); ap.add_argument("--zipf", type=float, default=1.05)
ap.add_argument("--anomaly-frac", type=float, default=0.005); ap.add_argument("--restate-frac", type=float, default=0.001)
ap.add_argument("--fresh", type=int, default=10_000); ap.add_argument("--utf8", action="store_true", help="campaign_id as utf8")
a = ap.parse_args()

t_start = time.time()
START = np.datetime64("2025-01-06T00:00:00", "us")          # a Monday
US_H = 3_600_000_000; US_D = 24 * US_H
PLAT = pa.array(["google", "meta", "tiktok", "x"])
ss = np.random.SeedSequence(a.seed)
g0 = np.random.default_rng(ss.spawn(1)[0])
C = a.campaigns
w = 1.0 / np.arange(1, C + 1) ** a.zipf; w /= w.sum(); cdf = np.cumsum(w); cdf[-1] = 1.0
perm = g0.permutation(C)                                     # rank -> campaign number (ids are not ordered by size)
plat = g0.choice(4, C, p=[.4, .35, .15, .1]).astype(np.int32)
cpm = g0.lognormal(1.6, .5, C); ctr = g0.beta(2, 80, C); cvr = g0.beta(2, 40, C); aov = g0.lognormal(3.6, .5, C)
hod = 0.35 + 0.65 * np.clip(np.sin((np.arange(24) - 7) / 24 * 2 * np.pi) * .6 + .5, 0.05, 1.2)
dow = np.array([1.0, 1.02, 1.03, 1.05, 1.15, .85, .8])
def mix(x, salt):                                           # splitmix64 hash -> [0,1)
    z = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15 * (salt + 1) & (2**64 - 1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9); z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53

def events(rng, n, t_us, first_id):
    c = perm[np.searchsorted(cdf, rng.random(n))]
    hour = t_us // US_H
    key = c.astype(np.int64) * 100_000 + hour
    an = mix(key, a.seed) < a.anomaly_frac                   # whole campaign-hour is anomalous
    kind = (mix(key, a.seed + 7) * 3).astype(np.int8)        # 0: spend x6, 1: conversions lost, 2: clicks x5 (fraud)
    imp = 1 + rng.poisson(200, n)
    clk = rng.binomial(imp, np.minimum(ctr[c] * np.where(an & (kind == 2), 5, 1), .9))
    spend = (imp * cpm[c] * 1000 * rng.gamma(20, 1 / 20, n) * np.where(an & (kind == 0), 6, 1)).astype(np.int64)
    conv = rng.binomial(clk, cvr[c]); conv[an & (kind == 1)] = 0
    rev = (conv * aov[c] * 1e6 * rng.gamma(8, 1 / 8, n)).astype(np.int64)
    creative = c.astype(np.int64) * 100 + rng.integers(0, 12, n)
    cid = c.astype(np.int64) + 100_000
    return {
        "event_id": np.arange(first_id, first_id + n, dtype=np.int64),
        "event_time": (START + t_us.astype("timedelta64[us]")),
        "campaign_id": cid, "_plat": plat[c], "creative_id": creative,
        "impressions": imp.astype(np.int64), "clicks": clk.astype(np.int64), "spend_micros": spend,
        "conversions": conv.astype(np.int64), "revenue_micros": rev}

def table(d, extra=None):
    cols, names = [], []
    for k, v in d.items():
        if k == "_plat":
            cols.append(PLAT.take(pa.array(v))); names.append("platform")
        elif k == "campaign_id" and a.utf8:
            cols.append(pa.array(np.char.add("cmp_", v.astype(str)), pa.string())); names.append(k)
        else:
            cols.append(pa.array(v)); names.append(k)
    if extra is not None: cols.append(pa.array(extra)); names.append("_diff")
    return pa.table(cols, names=names)

def write(t, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(t, path, compression="snappy", row_group_size=122_880)

shutil.rmtree(a.out, ignore_errors=True)
wd = dow[np.arange(a.days) % 7]; per_day = np.floor(a.rows * wd / wd.sum()).astype(int); per_day[-1] += a.rows - per_day.sum()
seeds = ss.spawn(a.days + 12); nid = 0; ch = []; recent = []
for d in range(a.days):
    rng = np.random.default_rng(seeds[d]); n = int(per_day[d])
    h = rng.choice(24, n, p=hod / hod.sum())
    t = np.sort(d * US_D + h * US_H + rng.integers(0, US_H, n))
    ev = events(rng, n, t, nid); nid += n
    write(table(ev), f"{a.out}/lake/day={np.datetime_as_string(START + np.timedelta64(d,'D'), 'D')}/part-0.parquet")
    keys = ev["campaign_id"] * 100_000 + t // US_H
    ch.append(np.unique(keys))
    if d >= a.days - 7: recent.append((keys, ev))
n_ch = sum(map(len, ch))
# --- restatement: 0.1 % of all campaign-hours, all in the last 7 days; every event of a chosen hour is corrected
rng = np.random.default_rng(seeds[a.days]); pool = np.concatenate(ch[-7:])
pick = np.sort(rng.choice(pool, int(n_ch * a.restate_frac), replace=False))
old = {}; sel = [np.isin(k, pick) for k, _ in recent]
for f in recent[0][1]: old[f] = np.concatenate([e[f][s] for (_, e), s in zip(recent, sel)])
new = dict(old); m = len(old["event_id"])
extra = rng.binomial(np.maximum(old["clicks"], 1), .08)
new["conversions"] = np.maximum(old["conversions"] + extra - (rng.random(m) < .1), 0)
new["revenue_micros"] = (new["conversions"] * 40_000_000 * rng.gamma(8, 1 / 8, m)).astype(np.int64)
both = {f: np.concatenate([old[f], new[f]]) for f in old}
write(table(both, np.repeat(np.array([-1, 1], np.int64), m)), f"{a.out}/corrections/restate.parquet")
write(table(new), f"{a.out}/upsert/upsert.parquet")
# --- fresh micro-batches in the first hour after the history
for k in range(10):
    rng = np.random.default_rng(seeds[a.days + 1 + k])
    t = np.sort(a.days * US_D + k * (US_H // 10) + rng.integers(0, US_H // 10, a.fresh))
    ev = events(rng, a.fresh, t, nid); nid += a.fresh
    write(table(ev, np.ones(a.fresh, np.int64)), f"{a.out}/corrections/fresh-{k}.parquet")
size = sum(os.path.getsize(os.path.join(r, f)) for r, _, fs in os.walk(a.out + "/lake") for f in fs)
meta = dict(rows=int(a.rows), campaigns=C, days=a.days, seed=a.seed, campaign_hours=int(n_ch), lake_bytes=size,
            restated_campaign_hours=len(pick), restated_events=m, restated_campaigns=int(len(np.unique(pick // 100_000))),
            fresh=a.fresh, utf8=a.utf8, gen_seconds=round(time.time() - t_start, 1))
json.dump(meta, open(a.out + "/meta.json", "w"), indent=1); print(json.dumps(meta))
