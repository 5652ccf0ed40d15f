"""Polars lazy batch. Rolling sums: rolling_sum_by over campaign; score: lag 1..4 within (campaign, hour-of-week) -> row-wise median/MAD."""
import os
from common import *
TH = os.environ.get("THREADS", "2"); os.environ["POLARS_MAX_THREADS"] = TH
import polars as pl
d, meta, out = args(); ONLY = os.environ.get("PHASE", "all")
LAKE = f"{d}/lake/*/*.parquet"; C = ["campaign_id", "h"]
def hourly(lf, diff=False):
    return lf.group_by("campaign_id", (pl.col("event_time").dt.timestamp("us") // 3_600_000_000).cast(pl.Int64).alias("h")).agg(
        *[((pl.col(SRC[s]) * pl.col("_diff")) if diff else pl.col(SRC[s])).sum().alias(s) for s in SUMS])
def med4(v):           # row-wise median of <=4 nullable columns
    return pl.concat_list(v).list.drop_nulls().list.median()
def q_sums(lf):
    lf = lf.sort(C)
    lf = lf.with_columns(*[pl.col(s).rolling_sum_by("h", f"{n}i").over("campaign_id").alias(f"{s}_{p}") for p, n in (("24h", 24), ("7d", 168)) for s in SUMS])
    nz = lambda c: pl.when(pl.col(c) != 0).then(pl.col(c))
    return lf.with_columns(*[(pl.col(f"{a}_{p}") / nz(f"{b}_{p}")).alias(f"{n}_{p}") for p in ("24h", "7d") for n, a, b in RATIOS])
def q_score(lf):
    g = ["campaign_id", (pl.col("h") % 168)]
    lags = [pl.col(c).shift(k).over(g).alias(f"{c}_{k}") for c in ("h", "spend", "rev") for k in (1, 2, 3, 4)]
    lf = lf.sort(C).select("campaign_id", "h", "spend", "rev").with_columns(*lags)
    lf = lf.with_columns(*[pl.when(pl.col("h") - pl.col(f"h_{k}") <= HW).then(pl.col(f"{c}_{k}")).alias(f"{c}_{k}") for c in ("spend", "rev") for k in (1, 2, 3, 4)])
    lf = lf.filter(pl.col("spend_3").is_not_null())        # < 3 history points -> no score
    lf = lf.with_columns(*[med4([f"{c}_{k}" for k in (1, 2, 3, 4)]).alias(f"med_{c}") for c in ("spend", "rev")])
    lf = lf.with_columns(*[med4([(pl.col(f"{c}_{k}") - pl.col(f"med_{c}")).abs() for k in (1, 2, 3, 4)]).alias(f"mad_{c}") for c in ("spend", "rev")])
    return lf.select("campaign_id", "h", *[(0.6745 * (pl.col(c) - pl.col(f"med_{c}")) / pl.max_horizontal(f"mad_{c}", 0.05 * pl.col(f"med_{c}").abs(), pl.lit(1.0))).alias(f"score_{c}") for c in ("spend", "rev")])
def features(h): return q_sums(h).join(q_score(h), on=C, how="left")
def run(lf, diff, path):
    h = hourly(lf, diff).collect(engine="streaming").lazy()
    features(h).collect().write_parquet(path)
with timer("cold_s", rows=meta["rows"]): run(pl.scan_parquet(LAKE, hive_partitioning=False), False, f"{out}/features.parquet")
if ONLY == "cold": raise SystemExit
R = pl.scan_parquet(f"{d}/corrections/restate.parquet"); R = R.select(sorted(R.collect_schema().names()))
def base():
    b = pl.scan_parquet(LAKE, hive_partitioning=False).with_columns(_diff=pl.lit(1, pl.Int64)); return b.select(sorted(b.collect_schema().names()))
with timer("restate_full_s"): run(pl.concat([base(), R]), True, f"{out}/features_r.parquet")
H = hourly(pl.scan_parquet(LAKE, hive_partitioning=False)).collect(engine="streaming").sort(C)
FS = q_sums(H.lazy()).collect(); FC = q_score(H.lazy()).collect()
def apply(src):
    global H, FS, FC
    dl = hourly(src, True).collect()
    H = pl.concat([H, dl]).lazy().group_by(C).agg(*[pl.col(s).sum() for s in SUMS]).sort(C).collect() if os.environ.get("SLOWMERGE") else \
        H.update(dl.join(H, on=C, how="inner").select(*C, *[(pl.col(s) + pl.col(s + "_right")).alias(s) for s in SUMS]), on=C).vstack(dl.join(H, on=C, how="anti").select(H.columns))
    aff = dl.group_by("campaign_id").agg(mh=pl.col("h").min(), xh=pl.col("h").max() + 167).lazy()
    slot = dl.group_by("campaign_id", sl=pl.col("h") % 168).agg(mh=pl.col("h").min()).lazy()
    hs = H.lazy().join(aff, on="campaign_id").filter(pl.col("h").is_between(pl.col("mh") - 167, pl.col("xh"))).select(H.columns)
    ns = q_sums(hs).join(aff, on="campaign_id").filter(pl.col("h") >= pl.col("mh")).drop("mh", "xh").collect()
    hc = H.lazy().with_columns(sl=pl.col("h") % 168).join(slot, on=["campaign_id", "sl"], how="semi").select(H.columns)
    nc = q_score(hc).with_columns(sl=pl.col("h") % 168).join(slot, on=["campaign_id", "sl"]).filter(pl.col("h") >= pl.col("mh")).drop("mh", "sl").collect()
    FS = pl.concat([FS.join(ns, on=C, how="anti"), ns]); FC = pl.concat([FC.join(nc, on=C, how="anti"), nc])
    return len(ns) + len(nc)
with timer("restate_partial_s"): n = apply(R)
emit("restate_rows_rewritten", n)
FS.join(FC, on=C, how="left").write_parquet(f"{out}/features_p.parquet")
for k in range(5):
    with timer("fresh_partial_s"): n = apply(pl.scan_parquet(f"{d}/corrections/fresh-{k}.parquet"))
emit("fresh_rows_rewritten", n)
