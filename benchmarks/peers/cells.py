"""cells.py DATA: the same facts as platforms deliver them: hourly totals per campaign, each with the time
at which the platform said so. DATA/hourly/ holds a file per day, `restate.parquet` (the corrected totals
of the restated hours) and `fresh-K.parquet` (the totals so far of the hour that is under way): the newest
`as_of` of a key counts. After all of them the cells are what DATA/lake and DATA/corrections add up to."""
import glob, json, sys
from pathlib import Path
import duckdb
d = sys.argv[1]; days = json.load(open(d + "/meta.json"))["days"]; con = duckdb.connect()
SUMS = dict(imp="impressions", clk="clicks", spend="spend_micros", conv="conversions", rev="revenue_micros")
def totals(source, diff=""):
    return f"""select campaign_id, date_trunc('hour', event_time) as hour,
        {', '.join(f'sum({diff}{column})::bigint as {name}' for name, column in SUMS.items())} from {source} group by all"""
def write(query, as_of, name):
    Path(f"{d}/hourly").mkdir(exist_ok=True)
    con.execute(f"""copy (select *, {as_of} as as_of from ({query}) order by hour, campaign_id)
        to '{d}/hourly/{name}.parquet' (format parquet, compression snappy)""")
for path in sorted(glob.glob(f"{d}/lake/day=*/*.parquet")):
    day = path.split("day=")[1].split("/")[0]
    write(totals(f"read_parquet('{path}', hive_partitioning=false)"), f"timestamp '{day}' + interval 25 hours", day)
restate = f"read_parquet('{d}/corrections/restate.parquet')"
hours = f"(select distinct campaign_id, date_trunc('hour', event_time) as hour from {restate})"
end = f"timestamp '2025-01-06' + interval {days} days"
lake = f"""(select e.* exclude (_h), 1 as _diff from (select *, date_trunc('hour', event_time) as _h
    from read_parquet('{d}/lake/*/*.parquet', hive_partitioning=false)) e
    semi join {hours} r on e.campaign_id = r.campaign_id and e._h = r.hour)"""
write(totals(f"(select * from {lake} union all by name select * from {restate})", "_diff*"), f"{end} + interval 2 hours", "restate")
for k in range(10):
    files = [f"{d}/corrections/fresh-{i}.parquet" for i in range(k + 1)]
    # Of an hour under way, a platform delivers the totals so far, of the campaigns that had events since.
    changed = f"(select distinct campaign_id from read_parquet('{files[-1]}'))"
    write(f"select t.* from ({totals(f'read_parquet({files!r})')}) t semi join {changed} c using (campaign_id)",
          f"{end} + interval {6 * (k + 1)} minutes", f"fresh-{k}")
