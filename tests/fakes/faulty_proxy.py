"""A proxy on loopback that passes HTTP on to a server, and now and then loses an answer, makes a 500 of it, or asks
twice.
"""

import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("lost before", "lost after", "500 before", "500 after", "twice")


class FaultyProxy(ThreadingHTTPServer):
    """`share` of the requests to the API meet with a fault, drawn from `seed`; `met` counts them by kind."""

    daemon_threads = True

    def __init__(self, target, share, seed, faults=FAULTS):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.share, self.draw, self.faults = urlsplit(target), share, random.Random(seed), faults
        self.met = dict.fromkeys(faults, 0)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    def handle_any(self):
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.draw.choice(proxy.faults) if "/api/" in self.path and proxy.draw.random() < proxy.share else ""
        if fault:
            proxy.met[fault] += 1
        if fault == "lost before":
            return
        status, kind, answer = (500, "text/plain", b"fault") if fault == "500 before" else self.forward(body)
        if fault == "twice":
            status, kind, answer = self.forward(body)
        if fault == "lost after":
            return
        if fault == "500 after":
            status, kind, answer = 500, "text/plain", b"fault"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def forward(self, body):
        target = self.server.target
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, {**headers, "Host": target.netloc})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers.get("Content-Type", "application/json"), content

    def log_message(self, *_):
        pass
