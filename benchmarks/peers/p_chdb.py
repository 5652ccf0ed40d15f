"""ClickHouse local via chdb. RANGE frames on integer hours; score by 4 lag columns gathered in an array (exact median / MAD)."""
import os
from common import *
import chdb
from chdb import session
d, meta, out = args(); TH = int(os.environ.get("THREADS", "2")); ONLY = os.environ.get("PHASE", "all")
emit("import_s", time.perf_counter() - T0)
s = session.Session(); q = lambda x: s.query(x, "CSV")
q(f"set max_threads={TH}"); q("create database b engine=Atomic"); q("use b")
try: q("set output_format_parquet_compression_method='snappy'")
except Exception as e: print("setting:", e)
try: q("set engine_file_truncate_on_insert=1")
except Exception as e: print("setting:", e)
import pathlib; AB = str(pathlib.Path(d).absolute()); OUT = str(pathlib.Path(out).absolute())
LAKE = f"file('{AB}/lake/*/*.parquet', Parquet)"
def hourly(src, diff=False):
    m = "_diff*" if diff else ""
    return f"select campaign_id, toInt64(intDiv(toUnixTimestamp64Micro(toDateTime64(event_time,6,'UTC')),3600000000)) h, {', '.join(f'sum({m}{SRC[x]}) {x}' for x in SUMS)} from {src} group by campaign_id, h"
W = {"24h": 23, "7d": 167}
def q_sums(src):
    return f"""select *, {', '.join(f'if({b}_{p}=0,null,{a}_{p}/{b}_{p}) {n}_{p}' for p in W for n,a,b in RATIOS)} from (
    select *, {', '.join(f'sum({x}) over w{p} {x}_{p}' for p in W for x in SUMS)} from {src}
    window {', '.join(f'w{p} as (partition by campaign_id order by h range between {n} preceding and current row)' for p,n in W.items())})"""
def q_score(src):
    sc = ", ".join(f"0.6745*({x}-arrayReduce('medianExactInclusive',a_{x}) as m_{x})/greatest(arrayReduce('medianExactInclusive',arrayMap(v->abs(v-m_{x}),a_{x})),0.05*abs(m_{x}),1.0) score_{x}" for x in ("spend", "rev"))
    sc = ", ".join(f"0.6745*({x}-m_{x})/greatest(arrayReduce('quantileExactInclusive(0.5)',arrayMap(v->abs(v-m_{x}),a_{x})),0.05*abs(m_{x}),1.0) score_{x}" for x in ("spend", "rev"))
    return f"""select campaign_id, h, {sc} from (select campaign_id, h, spend, rev, a_spend, a_rev, arrayReduce('quantileExactInclusive(0.5)',a_spend) m_spend, arrayReduce('quantileExactInclusive(0.5)',a_rev) m_rev from (
      select campaign_id, h, spend, rev, groupArray(spend) over hi a_spend, groupArray(rev) over hi a_rev from {src}
      window hi as (partition by campaign_id, h%168 order by h range between {HW} preceding and 168 preceding)) where length(a_spend)>=3)"""
def features(hs): return f"select f.*, score_spend, score_rev from ({q_sums(hs)}) f left join ({q_score(hs)}) g using (campaign_id,h)"
q("set join_use_nulls=1"); q("set schema_inference_make_columns_nullable=0")
with timer("cold_s", rows=meta["rows"]):
    q(f"create table hr engine=Memory as {hourly(LAKE)}")
    q(f"insert into function file('{OUT}/features.parquet', Parquet) {features('hr')}")
if ONLY == "cold": raise SystemExit
R = f"file('{AB}/corrections/restate.parquet', Parquet)"
with timer("restate_full_s"):
    ev = ", ".join(["event_time", "campaign_id"] + [SRC[x] for x in SUMS])
    q(f"create table hr2 engine=Memory as {hourly(f'(select {ev}, toInt64(1) _diff from {LAKE} union all select {ev}, _diff from {R})', True)}")
    q(f"insert into function file('{OUT}/features_r.parquet', Parquet) {features('hr2')}")
q("drop table hr"); q("drop table hr2")
# resident: SummingMergeTree hourly; derived tables ReplacingMergeTree(version)
with timer("build_state_s"):
    q(f"create table hourly engine=SummingMergeTree order by (campaign_id,h) as {hourly(LAKE)}")
    q(f"create table fsum engine=ReplacingMergeTree(ver) order by (campaign_id,h) settings allow_nullable_key=1 as select *, toUInt32(0) ver from ({q_sums('hourly')})")
    q(f"create table fscore engine=ReplacingMergeTree(ver) order by (campaign_id,h) as select *, toUInt32(0) ver from ({q_score('hourly')})")
ver = 0
def apply(src):
    global ver; ver += 1
    q("drop table if exists dlt"); q(f"create table dlt engine=Memory as {hourly(src, True)}"); q("insert into hourly select * from dlt")
    q("drop table if exists aff"); q("create table aff engine=Memory as select campaign_id, min(h) mh, max(h)+167 xh from dlt group by 1")
    q("drop table if exists slot"); q("create table slot engine=Memory as select campaign_id, h%168 sl, min(h) mh from dlt group by 1,2")
    sums = ", ".join(f"sum({x}) {x}" for x in SUMS)
    ctx = f"(select campaign_id, h, {', '.join('t.'+x+' '+x for x in SUMS)} from (select campaign_id,h,{sums} from hourly where campaign_id in (select campaign_id from aff) group by campaign_id,h) t join aff using(campaign_id) where h between mh-167 and xh)"
    q(f"insert into fsum select f.*, {ver} from ({q_sums(ctx)}) f join aff using(campaign_id) where h>=mh")
    ctx = f"(select campaign_id,h,{sums} from hourly where (campaign_id,h%168) in (select campaign_id,sl from slot) group by campaign_id,h)"
    q(f"insert into fscore select f.*, {ver} from (select *, h%168 sl from ({q_score(ctx)})) f join slot s on f.campaign_id=s.campaign_id and f.sl=s.sl where f.h>=s.mh" .replace("select f.*,", "select f.campaign_id, f.h, f.score_spend, f.score_rev,"))
    return int(str(q(f"select (select count() from fsum where ver={ver})+(select count() from fscore where ver={ver})")).strip())
with timer("restate_partial_s"): n = apply(R)
emit("restate_rows_rewritten", n)
q(f"insert into function file('{OUT}/features_p.parquet', Parquet) select f.* except ver, score_spend, score_rev from fsum f final left join (select * from fscore final) g using (campaign_id,h)")
for k in range(5):
    with timer("fresh_partial_s"): n = apply(f"file('{AB}/corrections/fresh-{k}.parquet', Parquet)")
emit("fresh_rows_rewritten", n)
