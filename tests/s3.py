"""A lake on S3 that is shared by two processes, behind a store that throttles, fails and loses answers;
killed and started again; verified each time.

    python tests/s3.py TIDEWATCH REPOSITORY [MINIO]

MINIO is a MinIO binary; if it is not there the server is moto.
"""

import gzip
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import deltalake
import pyarrow as pa

import s3_server
from s3_proxy import Proxy

program, repository = sys.argv[1], pathlib.Path(sys.argv[2])
minio = sys.argv[3] if len(sys.argv) > 3 else "minio"
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)
checks = []


def check(what, passed):
    checks.append(passed)
    print(f"{'ok    ' if passed else 'FAILED'} {what}", flush=True)


began = time.monotonic()
server, port, stop = s3_server.start(minio, folder)
print(f"server: {server}", flush=True)
s3 = s3_server.client(port)
s3.create_bucket(Bucket="tide")
proxy = Proxy(port, seed=7)
environment = {**s3_server.environment(proxy.port), "TIDEWATCH_LAKE": "s3://tide/lake"}
sql = [str(repository / "schemas"), str(repository / "dataflows/campaign_features")]
settings = folder / "settings.toml"
settings.write_text("[log]\nheartbeat_ms = 300\n[sources]\npoll_ms = 100\n")
tidewatch = [program, "--quiet", "--config", str(settings)]


def run(*args):
    done = subprocess.run([*tidewatch, *args], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, flush=True)
    return done


def deliver(n):
    """Upload what the platforms deliver the n-th time."""
    there = folder / f"delivery-{n}"
    generate = ["--quiet", "lake", "generate", str(there), "--campaigns", "4", "--days", "14"]
    command = [program, *generate, "--deliveries", str(n)]
    subprocess.run(command, check=True, capture_output=True)
    for path in sorted(there.rglob("*.parquet")):
        s3.upload_file(str(path), "tide", f"lake/{path.relative_to(there)}")


def verified(what):
    said = run("verify").stdout
    check(f"{what}: {said.strip().splitlines()[-1:]}", "verify: 2 views, 0 differences" in said)


deliver(1)
check("a first run", run("run", *sql, "--once").returncode == 0)
verified("as a store should be")

proxy.trouble = 0.1
deliver(3)
two = run("run", *sql, "--once", "--processes", "2")
check("two processes, one request in ten fails", two.returncode == 0)
verified("throttled, failing, answers lost")

# Killed at any instant, while files arrive and the store fails.
drawn = random.Random(3)
for n in range(4, 8):
    command = [*tidewatch, "run", "--processes", "2", "--take-over"]
    leader = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deliver(n)
    time.sleep(drawn.uniform(0.2, 2.5))
    leader.send_signal(signal.SIGKILL)
    leader.wait()
check("the run after four kills", run("run", "--once", "--processes", "2").returncode == 0)
verified("after four kills")
print(f"trouble: {proxy.counts}", flush=True)
check("requests failed in every way", all(n > 0 for n in proxy.counts.values()))

proxy.trouble = 0
rows = run("sql", "--format", "csv", "SELECT count(*) AS n FROM campaign_features").stdout
check("a query", int(rows.split()[1]) > 0)
check("vacuum", run("lake", "vacuum", "--keep-minutes", "0").returncode == 0)
verified("after vacuum")

# Sources of other formats, followed while the store fails.
environment["TIDEWATCH_LAKE"] = "s3://tide/other"
options = s3_server.options(port)
statements = folder / "other.sql"
statements.write_text(
    "CREATE SOURCE t (k BIGINT, v BIGINT) WITH (location = 't/', format = 'delta', mode = 'replace');"
    "CREATE SOURCE names (k BIGINT, name VARCHAR) WITH (location = 'names/', format = 'csv', mode = 'replace');"
    "CREATE MATERIALIZED VIEW s AS SELECT name, sum(v) AS v FROM t JOIN names ON t.k = names.k GROUP BY name;"
)
proxy.trouble = 0.1
for version, v in enumerate([10, 20]):
    data = pa.table({"k": [1, 2], "v": [v, 2 * v]})
    mode = "append" if version == 0 else "overwrite"
    deltalake.write_deltalake("s3://tide/other/t", data, mode=mode, storage_options=options)
    named = gzip.compress(b"k,name\n1,one\n2,two\n")
    s3.put_object(Bucket="tide", Key="other/names/names.csv.gz", Body=named)
    ran = run("run", str(statements), "--once").returncode
    rows = run("sql", "--format", "csv", "SELECT name, v FROM s ORDER BY name").stdout.split()
    equal = "0 differences" in run("verify").stdout
    right = [f"one,{v}", f"two,{2 * v}"] == rows[1:]
    check(f"a Delta table and compressed CSV, version {version}", ran == 0 and right and equal)

del environment["AWS_ACCESS_KEY_ID"]
denied = subprocess.run([program, "verify"], env=environment, capture_output=True, text=True)
check("no credentials", denied.returncode != 0 and "no credentials" in denied.stderr)
proxy.stop()
stop()
print(f"{sum(checks)} passed, {len(checks) - sum(checks)} failed, {time.monotonic() - began:.0f} s")
sys.exit(not all(checks))
