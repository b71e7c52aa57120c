"""sites.py FOLDER: the world outside the test mesh, under every address that nobody else has. On each of PORTS the first
byte decides what is spoken: HTTP, TLS with HTTP inside, or lines that come back. Port 27017 speaks first, then echoes.
FOLDER has the certificate and its key, sites.crt and sites.key.

HTTP answers like httpbin. What carries a name of its own, in the header `x-call` or as a line `call NAME`, is written to
standard output as a line of JSON, as it arrived; the header `x-site` then says what the site does: `delay SECONDS`,
`fail STATUS TIMES` and `close TIMES` (the first so many times that this call comes from this caller)."""

import collections
import http.server
import json
import socket
import socketserver
import ssl
import sys
import threading
import time

PORTS = [80, 443, 3306, 5432, 7070, 7071, 8080, 8081, 8443, 9090]

attempts = collections.Counter()
writing = threading.Lock()


def record(**seen):
    """Writes down one arrival, and tells how many there were before it."""
    key = seen["call"], seen["peer"]
    with writing:
        before = attempts[key]
        attempts[key] += 1
        print(json.dumps(seen), flush=True)
    return before


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "x-call" in self.headers:
            return self.play(body)
        words = self.path.split("?")[0].split("/") + [""]
        if words[1] == "delay":
            time.sleep(min(float(words[2]), 30))
        status = int(words[2]) if words[1] == "status" else 200
        seen = {"headers": dict(self.headers), "url": self.path, "peer": self.client_address[0]}
        self.reply(status, b"x" * int(words[2]) if words[1] == "bytes" else json.dumps(seen, indent=1).encode())

    def play(self, body):
        before = record(
            call=self.headers["x-call"],
            peer=self.client_address[0],
            at=address(self.connection),
            sni=getattr(self.connection, "asked_for", None),
            line=self.requestline,
            headers=self.headers.items(),
            body=body.decode(errors="replace"),
        )
        plan = self.headers.get("x-site", "").split() + ["", "", ""]
        if plan[0] == "delay":
            time.sleep(float(plan[1]))
        if plan[0] == "close" and before < int(plan[1]):
            self.close_connection = True
            return
        failing = plan[0] == "fail" and before < int(plan[2])
        self.reply(int(plan[1]) if failing else 200, b"seen\n")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_CONNECT = answer

    def log_message(self, *arguments):
        pass


class Echo(socketserver.BaseRequestHandler):
    greeting = b""

    def handle(self):
        self.request.sendall(self.greeting)
        while received := self.request.recv(4096):
            words = received.decode(errors="replace").split()
            if words[:1] == ["call"]:
                record(call=words[1], peer=self.client_address[0], at=address(self.request), line=received.decode())
            self.request.sendall(received)


class Greeter(Echo):
    greeting = b"hello\n"


class Servers(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


class Anything(Servers):
    """What is spoken is told by the first byte. The handshake belongs to the connection's own thread."""

    tls = None

    def finish_request(self, request, client):
        # A capital letter begins an HTTP method.
        handler, first = Echo, request.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            handler, request = Site, self.tls.wrap_socket(request, server_side=True)
        elif first.isupper():
            handler = Site
        handler(request, client, self)

    def handle_error(self, request, client):
        """A caller that leaves, or does not like the certificate, is no news."""


def address(connection):
    return "%s:%d" % connection.getsockname()[:2]


def note_server_name(connection, name, context):
    connection.asked_for = name


def main():
    tls = Anything.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{sys.argv[1]}/sites.crt", f"{sys.argv[1]}/sites.key")
    tls.sni_callback = note_server_name
    servers = [Anything(("0.0.0.0", port), None) for port in PORTS]
    for server in [*servers, Servers(("0.0.0.0", 27017), Greeter)]:
        threading.Thread(target=server.serve_forever).start()


main()
