"""A real S3 server on loopback, for the tests: MinIO, or moto where there is no MinIO."""

import logging
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_REGION": "us-east-1"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def minio(binary, folder):
    """MinIO on a free port; its port and a way to stop it."""
    port = free_port()
    environment = {
        **os.environ,
        "MINIO_ROOT_USER": KEYS["AWS_ACCESS_KEY_ID"],
        "MINIO_ROOT_PASSWORD": KEYS["AWS_SECRET_ACCESS_KEY"],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    log = open(folder / "minio.log", "w")
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "minio")]
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/minio/health/ready", timeout=1)
            return port, server.terminate
        except OSError:
            time.sleep(0.1)
    server.terminate()
    sys.exit(f"MinIO does not start: {(folder / 'minio.log').read_text()}")


def moto():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    return server.get_host_and_port()[1], server.stop


def start(binary, folder):
    """A server that keeps its data in `folder`: its name, its port, a way to stop it."""
    found = shutil.which(binary)
    port, stop = minio(found, pathlib.Path(folder)) if found else moto()
    return "MinIO" if found else "moto", port, stop


def client(port):
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_REGION"],
    )


def environment(port):
    """Variables by which programs find the server on `port`."""
    return {**os.environ, **KEYS, "AWS_ENDPOINT": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}


def options(port):
    """The same for deltalake and Polars."""
    return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}
