"""Between a client and a store: hands requests on, and gets some of them wrong.

Trouble comes before a request is applied (503 SlowDown, 500) or after it (500, or no answer at all),
which only the store knows: a client has to find out what became of its request.

A test may also aim at one request and do something at its very moment, such as killing whoever sent it:
before the store has it, after the store has it and before anybody is told, or long before the store
gets it, as if it had been under way all the while.
"""

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ["slow down", "failed", "failed after", "no answer after"]
MOMENTS = ["before", "after", "late"]
WRITES = ["PUT", "POST", "DELETE"]


class Aim:
    """At the `n`-th request from now on, of writes only if `writes`, `action` is called once."""

    def __init__(self, n, writes, moment, action, late_s=0.0):
        self.n, self.writes, self.moment = n, writes, moment
        self.action, self.late_s = action, late_s
        self.hit = threading.Event()


class Proxy:
    """Listens on `port`; a share of `trouble` of the requests goes wrong."""

    def __init__(self, store_port, seed):
        self.store_port = store_port
        self.trouble = 0.0
        self.counts = dict.fromkeys(KINDS, 0)
        self.requests = 0
        self.writes = 0
        self.aim = None
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"proxy": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def draw(self):
        with self.lock:
            if self.random.random() >= self.trouble:
                return None
            kind = self.random.choice(KINDS)
            self.counts[kind] += 1
            return kind

    def count(self, command):
        """Count a request; the aim, if it is the one that is aimed at."""
        with self.lock:
            write = command in WRITES
            self.requests += 1
            self.writes += write
            aim = self.aim
            if aim is None or (aim.writes and not write):
                return None
            aim.n -= 1
            if aim.n > 0:
                return None
            self.aim = None
            return aim

    def stop(self):
        self.server.shutdown()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy = None

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass

    def serve(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        aim = self.proxy.count(self.command)
        if aim:
            return self.aimed(aim, body)
        kind = self.proxy.draw()
        if kind == "slow down":
            return self.error(503, "SlowDown")
        if kind == "failed":
            return self.error(500, "InternalError")
        answer, content = self.apply(body)
        if kind == "failed after":
            return self.error(500, "InternalError")
        if kind == "no answer after":
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        # Of HEAD it is the length of what GET would send.
        length = answer.getheader("content-length") if self.command == "HEAD" else len(content)
        self.send_header("content-length", length or 0)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def apply(self, body):
        """Hand the request on; the answer and its content."""
        store = http.client.HTTPConnection("127.0.0.1", self.proxy.store_port, timeout=30)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    store.putheader(name, value)
            store.endheaders(body)
            answer = store.getresponse()
            return answer, answer.read()
        finally:
            store.close()

    def aimed(self, aim, body):
        """Nobody is there to be answered any more."""
        self.close_connection = True
        if aim.moment == "after":
            self.apply(body)
        aim.action()
        aim.hit.set()
        if aim.moment == "late":
            time.sleep(aim.late_s)
            self.apply(body)

    def error(self, status, code):
        content = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", len(content))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve
