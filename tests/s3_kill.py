"""Fifty kills on S3: two processes maintain a lake while files are added, written over and deleted;
one of them, or both, are killed at any instant or at the very moment of a request. Nothing is lost,
nothing is doubled, and what is published never goes back.

    python tests/s3_kill.py TIDEWATCH REPOSITORY [MINIO] [KILLS] [SEED]

A third of the kills is at an instant, a third at a request, a third at a write: before the store has
it, after the store has it, or with the write still under way: it reaches the store when the next
leader is at work already. In a part of the rounds the store also throttles, fails and loses answers.
Whoever is not killed has to end by itself.

The judges: `tidewatch verify`; deltalake and Polars, which read the raw tables; and this script, which
knows what the files say.
"""

import collections
import datetime
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import deltalake
import polars
import pyarrow as pa

import s3_server
from s3_proxy import MOMENTS, Aim, Proxy

program, repository = sys.argv[1], pathlib.Path(sys.argv[2])
minio = sys.argv[3] if len(sys.argv) > 3 else "minio"
kills = int(sys.argv[4]) if len(sys.argv) > 4 else 50
seed = int(sys.argv[5]) if len(sys.argv) > 5 else 11
BUCKET, LAKE = "tide", "lake/"
# How long whoever is not killed may need to notice that it is alone.
END_S = 60
SQL = """
CREATE SOURCE budgets (campaign BIGINT, day DATE, budget BIGINT)
    WITH (location = 'budgets/', format = 'csv', mode = 'replace');
CREATE SOURCE targets (campaign BIGINT NOT NULL, target BIGINT, as_of TIMESTAMP NOT NULL,
    PRIMARY KEY (campaign))
    WITH (location = 'targets/', format = 'json', mode = 'upsert', version = 'as_of');
CREATE MATERIALIZED VIEW budget_by_day AS
    SELECT day, count(*) AS n, sum(budget) AS budget FROM budgets GROUP BY day;
CREATE MATERIALIZED VIEW budget_against_target AS
    SELECT b.campaign, b.day, b.budget, t.target
    FROM budgets b JOIN targets t ON b.campaign = t.campaign;
"""
# What campaign_features reads.
READ = ["ad_metrics", "campaigns", "hours"]
VIEWS = ["campaign_features", "platform_daily", "budget_by_day", "budget_against_target"]
TABLES = [*VIEWS, "faults", "ad_metrics_history", "targets_history"]

draw = random.Random(seed)
began = time.monotonic()
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)
checks = []


def check(what, passed, why=""):
    checks.append(bool(passed))
    print(f"{'ok    ' if passed else 'FAILED'} {what}{'' if passed else f': {why}'}", flush=True)


server, port, stop = s3_server.start(minio, folder)
print(f"server: {server}", flush=True)
s3 = s3_server.client(port)
s3.create_bucket(Bucket=BUCKET)
proxy = Proxy(port, seed=seed)
environment = {**s3_server.environment(proxy.port), "TIDEWATCH_LAKE": f"s3://{BUCKET}/lake"}
settings = folder / "settings.toml"
settings.write_text(
    "[log]\nheartbeat_ms = 500\ncheckpoint_entries = 7\n[sources]\npoll_ms = 50\n"
    "[views]\ncheckpoint_versions = 2\nkeep_minutes = 0\nbucket_days = 3\n"
)
tidewatch = [program, "--quiet", "--config", str(settings)]


def run(*args):
    command = [*tidewatch, *args]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=180)
    if done.returncode:
        print(args, done.returncode, done.stdout[-2000:], done.stderr.decode()[-2000:], flush=True)
    return done


def objects(prefix):
    """The names under `prefix`, without it."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=LAKE + prefix)
    found = [o["Key"] for page in pages for o in page.get("Contents", [])]
    return [key[len(LAKE) + len(prefix):] for key in found]


class Files:
    """What platforms and people deliver, and what it adds up to."""

    def __init__(self):
        self.budgets = {}  # file name -> rows
        self.targets = {}  # campaign -> (as_of, target)
        self.deliveries = sorted(folder.glob("world/*"), key=lambda p: int(p.name))
        self.counts = collections.Counter()

    def put(self, name, body):
        s3.put_object(Bucket=BUCKET, Key=LAKE + name, Body=body)

    def deliver(self):
        """The next delivery of the generated world."""
        if self.deliveries:
            there = self.deliveries.pop(0)
            for path in sorted(p for p in there.rglob("*") if p.is_file()):
                self.put(str(path.relative_to(there)), path.read_bytes())
                self.counts["files of the world"] += 1

    def change_a_budget(self):
        """A file is added, written over, or deleted."""
        name = f"{draw.randrange(12):02}.csv"
        if name in self.budgets and draw.random() < 0.2:
            del self.budgets[name]
            s3.delete_object(Bucket=BUCKET, Key=f"{LAKE}budgets/{name}")
            self.counts["deleted"] += 1
            return
        day = lambda: datetime.date(2026, 5, draw.randrange(1, 29))
        rows = [(draw.randrange(20), day(), draw.randrange(10**6)) for _ in range(draw.randrange(1, 40))]
        lines = "".join(f"{c},{d},{b}\n" for c, d, b in rows)
        self.counts["written over" if name in self.budgets else "added"] += 1
        self.budgets[name] = rows
        self.put(f"budgets/{name}", f"campaign,day,budget\n{lines}".encode())

    def set_targets(self):
        """New versions from somebody whose clock may be behind or ahead."""
        lines = ""
        for campaign in draw.sample(range(20), draw.randrange(1, 6)):
            as_of, target = draw.randrange(10**6), draw.randrange(1000)
            stamp = datetime.datetime(2026, 5, 1) + datetime.timedelta(seconds=as_of)
            lines += json.dumps({"campaign": campaign, "target": target, "as_of": str(stamp)}) + "\n"
            self.targets[campaign] = max(self.targets.get(campaign, (-1, 0)), (as_of, target))
        self.put(f"targets/{self.counts['targets']:03}.jsonl", lines.encode())
        self.counts["targets"] += 1

    def change(self):
        for likely, what in [(0.3, self.deliver), (0.7, self.change_a_budget), (0.4, self.set_targets)]:
            if draw.random() < likely:
                what()

    def budget_by_day(self):
        days = collections.defaultdict(list)
        for rows in self.budgets.values():
            for _, day, budget in rows:
                days[day].append(budget)
        return sorted((day, len(b), sum(b)) for day, b in days.items())

    def budget_against_target(self):
        rows = (row for rows in self.budgets.values() for row in rows)
        return sorted((*row, self.targets[row[0]][1]) for row in rows if row[0] in self.targets)


class Watch:
    """Follows what is published, past the proxy."""

    def __init__(self):
        self.first = self.last = None
        self.seen, self.wrong, self.epochs = {}, [], set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        while not self.over.wait(0.03):
            for name in sorted(objects("_tidewatch/published/")):
                if name not in self.seen:
                    self.look(name)

    def look(self, name):
        try:
            found = s3.get_object(Bucket=BUCKET, Key=f"{LAKE}_tidewatch/published/{name}")
        except s3.exceptions.NoSuchKey:
            return  # cut by vacuum: a newer one is there
        now, last = json.loads(found["Body"].read()), self.last
        self.seen[name] = now["nonce"]
        self.epochs.add(now["epoch"])
        self.first, self.last = self.first or now, now
        if last is None:
            return
        for key in ["n", "t", "epoch"]:
            if now[key] < last[key] or (key == "n" and now[key] == last[key]):
                self.wrong.append(f"{key} goes from {last[key]} to {now[key]}")
        for view, before in last["views"].items():
            after = now["views"].get(view)
            if after is None or after["folder"] != before["folder"] or after["version"] < before["version"]:
                self.wrong.append(f"'{view}' goes from {before} to {after}")

    def stop(self):
        self.over.set()
        self.thread.join()


class Cluster:
    """A leader and the process that it starts."""

    living = []
    ended = collections.Counter()

    def __init__(self):
        command = [*tidewatch, "run", "--processes", "2", "--take-over"]
        self.said = open(folder / f"said-{len(Cluster.living)}", "w+")
        self.leader = subprocess.Popen(command, env=environment, stderr=self.said, stdout=self.said)
        self.follower = None
        self.killed = None
        Cluster.living.append(self)

    def children(self):
        if self.follower is None and self.leader.poll() is None:
            pid = self.leader.pid
            there = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            self.follower = int(there[0]) if there else None
        return self.follower

    def kill(self, whom):
        """Kill the leader, the follower or both; a follower that is not there yet is its leader."""
        follower = self.children()
        if whom == "follower" and follower is None:
            whom = "leader"
        if whom in ("follower", "both") and follower is not None and running(follower):
            os.kill(follower, signal.SIGKILL)
        if whom in ("leader", "both"):
            self.leader.kill()
        self.killed = whom

    def is_over(self):
        """Whether both have ended."""
        return self.leader.poll() is not None and not (self.follower and running(self.follower))

    def wait(self):
        deadline = time.monotonic() + END_S
        while not self.is_over() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_over()


def running(pid):
    """Whether it is a process of ours that has not ended; orphans have nobody who waits for them."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z" and "follow" in line


def one_round(files, typical):
    """Run two processes, change files, kill: whom, how and when, unless they ended before."""
    proxy.trouble = draw.choice([0, 0, 0.05])
    whom = draw.choice(["leader", "leader", "follower", "both"])
    way, moment = draw.choice(["instant", "request", "write"]), draw.choice(MOMENTS)
    if way != "instant":
        files.change_a_budget()  # So that there is enough to do.
    cluster = Cluster()
    aim = None
    if way != "instant":
        most = typical["writes"] if way == "write" else typical["requests"]
        n, late_s = draw.randrange(1, most + 1), draw.uniform(0.2, 3)
        aim = Aim(n, way == "write", moment, lambda: cluster.kill(whom), late_s)
        proxy.aim = aim
    when = draw.uniform(0, 1.3 * typical["seconds"])
    if draw.random() < 0.6:
        pause = draw.uniform(0, when)
        when -= pause
        time.sleep(pause)
        files.change()
    if aim is None:
        time.sleep(when)
        cluster.kill(whom)
    else:
        # Files go on changing until it is there.
        deadline = time.monotonic() + END_S
        while not aim.hit.wait(typical["seconds"]) and time.monotonic() < deadline:
            if cluster.leader.poll() is not None:
                break  # The store's trouble, or a newer leader, was there first.
            files.change_a_budget()
    if aim is not None and not aim.hit.is_set():
        proxy.aim = None
        way = "instant"
    if cluster.killed is None:
        if cluster.leader.poll() is not None:
            return None
        cluster.kill(whom)
    if cluster.killed == "follower" and draw.random() < 0.5:
        # Otherwise the next leader takes over beside one that does not know yet.
        cluster.wait()
    return cluster.killed, way, moment if way != "instant" else ""


def settled(what):
    """Bring the lake up to date; verify."""
    proxy.trouble, proxy.aim = 0, None
    ran = run("run", "--once", "--processes", "2", "--take-over")
    said = run("verify").stdout.decode()
    good = f"verify: {len(VIEWS)} views, 0 differences" in said and "not compared" not in said
    check(f"{what}: {said.strip().splitlines()[-1:]}", ran.returncode == 0 and good, said)


def rows_of(table):
    """The rows of a table, as texts, sorted."""
    names = sorted(table.column_names)
    columns = [table[name].to_pylist() for name in names]
    stamp = lambda v: v.replace(tzinfo=None) if isinstance(v, datetime.datetime) else v
    return sorted(repr(tuple(stamp(v) for v in row)) for row in zip(*columns))


def judged(files, published):
    """The raw tables, by readers that know nothing of us."""
    options = s3_server.options(port)
    tables = {}
    for view in TABLES:
        at = published["views"][view]
        url = f"s3://{BUCKET}/{LAKE}{at['folder']}"
        mine = run("sql", "--format", "arrow", f"SELECT * FROM {view}").stdout
        mine = pa.ipc.open_stream(io.BytesIO(mine)).read_all()
        delta = deltalake.DeltaTable(url, storage_options=options)
        newest, arrow = delta.version(), delta.to_pyarrow_table()
        frame = polars.read_delta(url, storage_options=options)
        want = rows_of(mine)
        tables[view] = arrow
        same = rows_of(arrow) == want and rows_of(frame.to_arrow()) == want
        live = {f.rsplit("/", 1)[-1] for f in delta.file_uris()}
        there = {f for f in objects(at["folder"] + "/") if "/" not in f}
        check(
            f"{view}: {len(want)} rows; deltalake and Polars read the same, no file is left over",
            same and newest == at["version"] and live == there,
            f"version {newest} of {at}, {arrow.num_rows} and {frame.height} rows; {live ^ there}",
        )
    for view, want in [
        ("budget_by_day", files.budget_by_day()),
        ("budget_against_target", files.budget_against_target()),
    ]:
        names = ["day", "n", "budget"] if view == "budget_by_day" else ["campaign", "day", "budget", "target"]
        got = sorted(zip(*(tables[view][name].to_pylist() for name in names)))
        check(f"{view}: what the files say", got == want, f"{got[:3]} {want[:3]}")


generate = ["--quiet", "lake", "generate", "--campaigns", "3", "--days", "14", "--seed", "3", "--no-banners"]
seen = set()
for n in range(1, 9):
    there = folder / f"generated-{n}"
    command = [program, *generate, str(there), "--deliveries", str(n)]
    subprocess.run(command, check=True, capture_output=True)
    for path in sorted(p for p in there.rglob("*") if p.is_file()):
        name = path.relative_to(there)
        if name not in seen and name.parts[0] in READ:
            seen.add(name)
            target = folder / "world" / str(n) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

files = Files()
files.deliver()
for _ in range(6):
    files.change_a_budget()
    files.set_targets()
(folder / "more.sql").write_text(SQL)
schemas = [repository / f"schemas/{name}.sql" for name in READ]
sql = [*schemas, repository / "dataflows/campaign_features", folder / "more.sql"]
check("a first run", run("run", *map(str, sql), "--once", "--processes", "2").returncode == 0)
files.change_a_budget()
before = proxy.requests, proxy.writes, time.monotonic()
run("run", "--once", "--processes", "2", "--take-over")
typical = {
    "requests": proxy.requests - before[0],
    "writes": proxy.writes - before[1],
    "seconds": round(time.monotonic() - before[2], 2),
}
print(f"       a run that finds one change: {typical}", flush=True)
settled("undisturbed")

watch = Watch()
killed, ways, moments = collections.Counter(), collections.Counter(), collections.Counter()
ended_before = 0
while sum(killed.values()) < kills:
    done = one_round(files, typical)
    if done is None:
        ended_before += 1
        continue
    whom, way, moment = done
    killed[whom] += 1
    ways[way] += 1
    moments[moment] += bool(moment)
    if sum(killed.values()) % 25 == 0:
        settled(f"after {sum(killed.values())} kills")
        print(f"       {time.monotonic() - began:.0f} s", flush=True)
lingering = [c for c in Cluster.living if not c.wait()]
check("whoever is not killed ends by itself", not lingering, [(c.killed, c.leader.pid, c.follower) for c in lingering])
for cluster in lingering:
    cluster.kill("both")
for cluster in Cluster.living:
    if cluster.killed == "follower" and cluster.leader.poll() is not None:
        Cluster.ended[cluster.leader.returncode] += 1
    if cluster.leader.returncode not in (-signal.SIGKILL, 75, 4):
        cluster.said.seek(0)
        print(f"       {cluster.killed} killed, leader ended with {cluster.leader.returncode}: {cluster.said.read()[-600:]}")
good = set(Cluster.ended) <= {75, 4}
check("a leader that lost its follower calls it an outage, or is fenced", good, Cluster.ended)
while files.deliveries:
    files.deliver()
settled("after all")
# One more round sees what the last one left.
swept = [run("lake", "vacuum", "--keep-minutes", "0").returncode for _ in range(2)]
check("vacuum", swept == [0, 0])
settled("after vacuum")
time.sleep(0.2)
watch.stop()
check("what is published never goes back", not watch.wrong, watch.wrong[:5])
judged(files, watch.last)
if kills >= 50:
    aimed = min(ways["request"], ways["write"], *(moments[m] for m in MOMENTS))
    check("kills of every kind", min(killed.values()) >= 5 and len(killed) == 3 and aimed >= 3, (killed, ways, moments))
    check("requests failed in every way", all(n > 0 for n in proxy.counts.values()), proxy.counts)
proxy.stop()
stop()

said = lambda counts: ", ".join(f"{name} {n}" for name, n in sorted(counts.items()) if name)
print(f"kills: {said(killed)}; at an {said(ways)}; {said(moments)}")
print(f"files: {said(files.counts)}; trouble: {said(proxy.counts)}")
print(f"leaders that lost their follower ended with: {dict(Cluster.ended)}; {ended_before} ended before a kill")
print(
    f"published: {watch.first['n']} to {watch.last['n']}, t {watch.first['t']} to {watch.last['t']}, "
    f"by {len(watch.epochs)} leaders"
)
failed = len(checks) - sum(checks)
print(f"{sum(killed.values())} kills, {sum(checks)} passed, {failed} failed, {time.monotonic() - began:.0f} s")
sys.exit(failed > 0)
