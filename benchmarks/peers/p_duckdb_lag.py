"""DuckDB batch SQL, tuned: score by lag()+list_median instead of median()/mad() windows. Phases: cold (lake->features.parquet), restate full / partial, fresh micro-batch partial.
partial = hand-optimised: hourly table kept in the DB, delta merged, windows recomputed for affected campaigns only, rows replaced.
SOURCE=upsert: the source is hourly totals with versions (cells.py) instead of events; a newer version replaces the older one."""
import duckdb, os
from common import *
d, meta, out = args(); TH = int(os.environ.get("THREADS", "2")); ONLY = os.environ.get("PHASE", "all")
con = duckdb.connect(); con.execute(f"set threads={TH}; set preserve_insertion_order=false")
LAKE = f"read_parquet('{d}/lake/*/*.parquet', hive_partitioning=false)"
UPSERT = os.environ.get("SOURCE") == "upsert"
if UPSERT: LAKE = f"read_parquet('{d}/hourly/20*.parquet')"
CORRECTIONS = f"{d}/hourly" if UPSERT else f"{d}/corrections"
def hourly(src, sign=""):
    if UPSERT:      # of the versions that come together, the newest; those in the table are compared in the merge
        return f"""select campaign_id, (epoch_us(hour)//3600000000)::int h, {', '.join(f'arg_max({s}, as_of) {s}' for s in SUMS)}, max(as_of) as_of
               from {src} group by all"""
    m = "_diff*" if sign else ""
    return f"""select campaign_id, (epoch_us(event_time)//3600000000)::int h, {', '.join(f'sum({m}{SRC[s]})::bigint {s}' for s in SUMS)}
               from {src} group by all"""
W = {p: n for p, n in (("24h", 23), ("7d", 167))}
def q_sums(src):
    return f"""select *, {', '.join(f'{a}_{p}/nullif({b}_{p},0) {n}_{p}' for p in W for n, a, b in RATIOS)} from (
      select *, {', '.join(f'sum({s}) over w{p} ::bigint {s}_{p}' for p in W for s in SUMS)} from {src} window
      {', '.join(f'w{p} as (partition by campaign_id order by h range between {n} preceding and current row)' for p, n in W.items())})"""
def q_score(src):
    lg = ", ".join(f"lag({c},{k}) over w {c}_{k}" for c in ("h", "spend", "rev") for k in (1, 2, 3, 4)); sp = ("spend", "rev")
    lst = ", ".join(f"case when h-h_4<={HW} then [{','.join(f'{c}_{k}' for k in (1,2,3,4))}] else [{','.join(f'{c}_{k}' for k in (1,2,3))}] end l_{c}" for c in sp)
    s1 = f"select campaign_id,h,spend,rev,{lg} from {src} window w as (partition by campaign_id, h%168 order by h)"
    s2 = f"select *, {', '.join(f'list_median(l_{c}) m_{c}' for c in sp)} from (select campaign_id,h,spend,rev,{lst} from ({s1}) where h-h_3<={HW})"
    s3 = f"select *, {', '.join(f'list_median(list_transform(l_{c}, lambda v: abs(v-m_{c}))) d_{c}' for c in sp)} from ({s2})"
    return f"select campaign_id, h, {', '.join(f'0.6745*({x}-m_{x})/greatest(d_{x},0.05*abs(m_{x}),1.0) score_{x}' for x in sp)} from ({s3})"
def features(hsrc):      # hourly aggregate materialised once, then window sums left-joined with the scores
    con.execute(f"create or replace temp table hr as select * from {hsrc}")
    return f"select f.*, score_spend, score_rev from ({q_sums('hr')}) f left join ({q_score('hr')}) g using (campaign_id,h)"
with timer("cold_s", rows=meta["rows"]):
    con.execute(f"copy ({features('('+hourly(LAKE)+')')}) to '{out}/features.parquet' (format parquet)")
if ONLY == "cold": raise SystemExit
R = f"read_parquet('{CORRECTIONS}/restate.parquet')"
with timer("restate_full_s"):
    if UPSERT: u = f"(select * from {LAKE} union all by name select * from {R})"
    else: u = f"(select *, 1 _diff from {LAKE} union all by name select * from {R})"
    con.execute(f"copy ({features('('+hourly(u,'diff')+')')}) to '{out}/features_r.parquet' (format parquet)")
# resident state for the partial path: hourly sums + two derived tables (window sums, scores) so that each delta rewrites only what it can change
with timer("build_state_s"):
    con.execute(f"create table hourly as {hourly(LAKE)}")
    con.execute(f"create table fsum as {q_sums('hourly')}")
    con.execute(f"create table fscore as {q_score('hourly')}")
def apply(src):
    con.execute("begin")
    con.execute(f"create or replace temp table dlt as {hourly(src,'diff')}")
    newer, values = ("and s.as_of >= t.as_of", [f"{x}=s.{x}" for x in [*SUMS, "as_of"]]) if UPSERT else ("", [f"{x}=t.{x}+s.{x}" for x in SUMS])
    con.execute(f"""merge into hourly t using dlt s on t.campaign_id=s.campaign_id and t.h=s.h
        when matched {newer} then update set {', '.join(values)}
        when not matched then insert values (s.campaign_id,s.h,{','.join('s.'+x for x in SUMS)}{',s.as_of' if UPSERT else ''})""")
    con.execute("create or replace temp table aff as select campaign_id, min(h) mh, max(h)+167 xh from dlt group by 1")
    con.execute("create or replace temp table slot as select campaign_id, h%168 sl, min(h) mh from dlt group by all")
    con.execute(f"create or replace temp table nsum as select f.* from ({q_sums('(select t.* from hourly t join aff using(campaign_id) where h between mh-167 and xh)')}) f join aff using(campaign_id) where h>=mh")
    con.execute(f"create or replace temp table nscore as select f.* from ({q_score('(select t.* from hourly t join slot s on t.campaign_id=s.campaign_id and t.h%168=s.sl)')}) f join slot s on f.campaign_id=s.campaign_id and f.h%168=s.sl where f.h>=s.mh")
    for t, n in (("fsum", "nsum"), ("fscore", "nscore")):
        con.execute(f"delete from {t} using {n} where {t}.campaign_id={n}.campaign_id and {t}.h={n}.h"); con.execute(f"insert into {t} select * from {n}")
    con.execute("commit")
    return con.execute("select (select count(*) from nsum)+(select count(*) from nscore)").fetchone()[0]
with timer("restate_partial_s") as t: n = apply(R)
emit("restate_rows_rewritten", n)
con.execute(f"copy (select * from fsum left join fscore using (campaign_id,h)) to '{out}/features_p.parquet' (format parquet)")
for k in range(5):
    with timer("fresh_partial_s"): n = apply(f"read_parquet('{CORRECTIONS}/fresh-{k}.parquet')")
emit("fresh_rows_rewritten", n)
