"""A lake on S3: the same run, query and verification against a server of the S3 protocol.

    python tests/s3.py TIDEWATCH REPOSITORY
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import boto3
from moto.server import ThreadedMotoServer

program, repository = sys.argv[1], pathlib.Path(sys.argv[2])
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
key = dict(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
s3 = boto3.client("s3", endpoint_url=endpoint, **key)
s3.create_bucket(Bucket="tide")
environment = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT": endpoint,
    "AWS_ALLOW_HTTP": "true",
    "TIDEWATCH_LAKE": "s3://tide/lake",
}
sql = [str(repository / "schemas"), str(repository / "dataflows/campaign_features")]


def run(*args):
    done = subprocess.run([program, *args], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done


def upload(folder):
    for path in sorted(pathlib.Path(folder).rglob("*.parquet")):
        s3.upload_file(str(path), "tide", f"lake/{path.relative_to(folder)}")


checks = []
with tempfile.TemporaryDirectory() as folder:
    generate = [program, "--quiet", "lake", "generate", folder, "--campaigns", "4", "--days", "14"]
    for deliveries in ["1", "3"]:
        subprocess.run([*generate, "--deliveries", deliveries], check=True, capture_output=True)
        upload(folder)
        checks.append(run("--quiet", "run", *sql, "--once").returncode == 0)
        verified = run("verify")
        print(verified.stdout.strip())
        checks.append("verify: 2 views, 0 differences" in verified.stdout)
rows = run("sql", "--format", "csv", "SELECT count(*) AS n FROM campaign_features").stdout
checks.append(int(rows.split()[1]) > 0)
del environment["AWS_ACCESS_KEY_ID"]
denied = subprocess.run([program, "verify"], env=environment, capture_output=True, text=True)
checks.append(denied.returncode != 0 and "no credentials" in denied.stderr)
server.stop()
print(f"{sum(checks)} passed, {len(checks) - sum(checks)} failed")
sys.exit(not all(checks))
