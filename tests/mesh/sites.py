"""sites.py FOLDER: the world outside the test mesh, under every address that nobody else has. On each of PORTS the first
bytes decide what is spoken: HTTP/1, HTTP/2, TLS with either inside, or lines that come back. Port 27017 speaks first, then
echoes. FOLDER has the certificate and its key, sites.crt and sites.key.

HTTP answers like httpbin. What carries a name of its own, in the header `x-call` or as a line `call NAME`, is written to
standard output as a line of JSON, as it arrived; the header `x-site` then says what the site does: `delay SECONDS`;
`fail STATUS TIMES`, `close TIMES`, `refuse TIMES` and `break TIMES` (the first so many times that this call comes from this
caller, where what is refused is the stream, and in HTTP/1 the same as closing, and what breaks off is a body); `grpc STATUS
TIMES`, where what does not fail ends with status 0; `trailers`; `hint` (a 103 before the answer); `bytes SIZE`; `drip` (a body
in pieces, with pauses); and `switch WORD`, which takes an upgrade and echoes lines: `echo`, `early` (it speaks first), or
`leave` (it ends after the first line). HTTP/1 has no trailers here, and HTTP/2 no upgrades.

A connection may begin with a header of the PROXY protocol, which is written down with what comes over it."""

import collections
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

PORTS = [80, 443, 3306, 5432, 7070, 7071, 8080, 8081, 8443, 9090]

# Longer bodies are written down as their length and a hash.
LONG = 1000

# The pieces of a body that comes slowly, and the pause before each but the first.
PIECES, PAUSE = [b"slow ", b"but ", b"whole\n"], 0.4

attempts = collections.Counter()
writing = threading.Lock()
# The PROXY protocol's headers, by who has sent them.
proxied = {}


def record(client, body=b"", **seen):
    """Writes down one arrival, and tells how many there were before it."""
    if len(body) > LONG:
        body = b"%d bytes, %s" % (len(body), hashlib.md5(body).hexdigest().encode())
    seen |= {"peer": client[0], "proxied": proxied.get(client), "body": body.decode(errors="replace")}
    key = seen["call"], seen["peer"]
    with writing:
        before = attempts[key]
        attempts[key] += 1
        print(json.dumps(seen), flush=True)
    return before


def like_httpbin(method, path, headers, peer):
    """Status and body for a request that says in its path what it wants."""
    words = path.split("?")[0].split("/") + [""]
    if words[1] == "delay":
        time.sleep(min(float(words[2]), 30))
    status = int(words[2]) if words[1] == "status" else 200
    seen = {"headers": headers, "url": path, "peer": peer}
    return status, b"x" * int(words[2]) if words[1] == "bytes" else json.dumps(seen, indent=1).encode()


def planned(plan, before):
    """What a call gets that says `plan`, and has come so often before: a word, and a status."""
    doing, number, times = (plan.split() + ["", "", ""])[:3]
    if doing == "delay":
        time.sleep(float(number))
    if doing in ("close", "refuse", "break") and before < int(number):
        return doing, None
    if doing == "grpc":
        return doing, int(number) if before < int(times) else 0
    return doing, int(number) if doing == "fail" and before < int(times) else 200


def content(plan):
    """The pieces of the body of an answer that does not fail."""
    doing, size = (plan.split() + ["", ""])[:2]
    if doing == "drip":
        return PIECES
    return [b"x" * int(size)] if doing == "bytes" else [b"seen\n"]


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.body()
        if "x-call" in self.headers:
            return self.play(body)
        status, body = like_httpbin(self.command, self.path, dict(self.headers), self.client_address[0])
        self.reply(status, body)

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            """A trailer."""
        return body

    def play(self, body):
        plan = self.headers.get("x-site", "")
        before = record(
            call=self.headers["x-call"],
            client=self.client_address,
            at=address(self.connection),
            sni=getattr(self.connection, "asked_for", None),
            certificate=certificate(self.connection),
            line=self.requestline,
            headers=self.headers.items(),
            body=body,
        )
        doing, status = planned(plan, before)
        if doing == "hint":
            self.send_response_only(103)
            self.send_header("link", "</style.css>; rel=preload")
            self.end_headers()
        if status is None:
            self.close_connection = True
            if doing == "break":
                self.reply(200, b"se", length=5)
        elif doing == "switch" and "upgrade" in self.headers:
            self.switch(plan.split()[1])
        elif doing == "grpc":
            own = [("content-type", "application/grpc"), ("grpc-status", str(status))]
            self.reply(200, b"", headers=own)
        else:
            self.reply(status, *content(plan))

    def switch(self, how):
        self.close_connection = True
        self.send_response(101)
        self.send_header("upgrade", self.headers["upgrade"])
        self.send_header("connection", "Upgrade")
        self.end_headers()
        if how == "early":
            self.wfile.write(b"first\n")
        while line := self.rfile.readline():
            self.wfile.write(line)
            if how == "leave":
                break

    def reply(self, status, *pieces, headers=(), length=None):
        self.send_response(status)
        if status != 204:
            headers = [*headers, ("content-length", str(length or sum(map(len, pieces))))]
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            for number, piece in enumerate(pieces):
                time.sleep(PAUSE if number else 0)
                self.wfile.write(piece)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_CONNECT = answer

    def log_message(self, *arguments):
        pass


class Streams(socketserver.BaseRequestHandler):
    """HTTP/2. Each request has a thread of its own: one that waits holds up none beside it."""

    # A caller may send what no caller should; it is written down, not refused.
    CONFIG = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)

    def handle(self):
        self.streams, self.turn, self.arriving = h2.connection.H2Connection(self.CONFIG), threading.Lock(), {}
        self.send(self.streams.initiate_connection)
        while received := self.request.recv(65536):
            with self.turn:
                events = self.streams.receive_data(received)
                self.request.sendall(self.streams.data_to_send())
            for event in events:
                self.take(event)

    def send(self, what, *arguments, **named):
        """Has the connection say something; who has reset the stream meanwhile does not hear it."""
        with self.turn:
            try:
                what(*arguments, **named)
            except h2.exceptions.ProtocolError:
                return
            self.request.sendall(self.streams.data_to_send())

    def take(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.arriving[stream] = event.headers, bytearray(), []
            if (":method", "CONNECT") in event.headers:
                self.begin(stream)
        elif isinstance(event, h2.events.DataReceived):
            self.send(self.streams.acknowledge_received_data, event.flow_controlled_length, stream)
            if stream in self.arriving:
                self.arriving[stream][1].extend(event.data)
        elif isinstance(event, h2.events.TrailersReceived) and stream in self.arriving:
            self.arriving[stream][2].extend(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.begin(stream)

    def begin(self, stream):
        if stream in self.arriving:
            threading.Thread(target=self.answer, args=(stream, *self.arriving.pop(stream)), daemon=True).start()

    def answer(self, stream, headers, body, trailers):
        named = dict(headers)
        method, path = named[":method"], named.get(":path", named.get(":authority", ""))
        if "x-call" not in named:
            status, body = like_httpbin(method, path, named, self.client_address[0])
            return self.reply(stream, status, [] if method == "HEAD" or status == 204 else [body])
        plan = named.get("x-site", "")
        before = record(
            call=named["x-call"],
            client=self.client_address,
            at=address(self.request),
            sni=getattr(self.request, "asked_for", None),
            certificate=certificate(self.request),
            line=f"{method} {path} HTTP/2",
            headers=headers,
            body=bytes(body),
            trailers=trailers,
        )
        doing, status = planned(plan, before)
        if doing == "hint":
            self.send(self.streams.send_headers, stream, [(":status", "103"), ("link", "</style.css>; rel=preload")])
        if doing == "close" and status is None:
            self.request.shutdown(socket.SHUT_RDWR)
        elif doing == "break" and method == "HEAD":
            self.send(self.streams.send_headers, stream, [(":status", "200")], end_stream=True)
        elif doing == "break" and status is None:
            self.send(self.streams.send_headers, stream, [(":status", "200")])
            self.send(self.streams.send_data, stream, b"se")
            self.send(self.streams.reset_stream, stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif status is None:
            self.send(self.streams.reset_stream, stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif doing == "grpc":
            own, ends = [("content-type", "application/grpc")], [("grpc-status", str(status))]
            if status or method == "HEAD":
                self.send(self.streams.send_headers, stream, [(":status", "200"), *own, *ends], end_stream=True)
            else:
                self.reply(stream, 200, [b"\0\0\0\0\5seen\n"], own, ends)
        else:
            pieces = [] if method == "HEAD" or status == 204 else content(plan)
            self.reply(stream, status, pieces, trailers=[("x-end", "1")] if pieces and doing == "trailers" else [])

    def reply(self, stream, status, pieces, headers=(), trailers=()):
        # Callers of HTTP/1 know of a 204, and of what answers HEAD, that nothing follows, and leave.
        self.send(self.streams.send_headers, stream, [(":status", str(status)), *headers], end_stream=not pieces)
        for number, piece in enumerate(pieces, 1):
            time.sleep(PAUSE if number > 1 else 0)
            self.send_body(stream, piece, ends=number == len(pieces) and not trailers)
        if trailers:
            self.send(self.streams.send_headers, stream, trailers, end_stream=True)

    def send_body(self, stream, body, ends):
        """Sends as much as the other side takes at a time, and waits for it to take more."""
        until, sent = time.monotonic() + 10, False
        while not sent and time.monotonic() < until:
            with self.turn:
                try:
                    size = min(self.streams.local_flow_control_window(stream), self.streams.max_outbound_frame_size)
                except h2.exceptions.ProtocolError:
                    return
            if body and size <= 0:
                time.sleep(0.01)
                continue
            part, body = body[:size], body[size:]
            sent = not body
            self.send(self.streams.send_data, stream, part, end_stream=ends and sent)


class Echo(socketserver.BaseRequestHandler):
    greeting = b""

    def handle(self):
        self.request.sendall(self.greeting)
        while received := self.request.recv(4096):
            words = received.decode(errors="replace").split()
            if words[:1] == ["call"]:
                record(call=words[1], client=self.client_address, at=address(self.request), line=received.decode())
            self.request.sendall(received)


class Greeter(Echo):
    greeting = b"hello\n"


class Servers(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        # Each family has servers of its own, so that a caller over IPv4 has an address of IPv4.
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def proxy_header(connection):
    """The PROXY protocol's header that a connection begins with: its version, who calls, and whom; read, and none where
    there is none."""
    if begins_with(connection, SIGNATURE) and (begin := connection.recv(16, socket.MSG_WAITALL)):
        kind, size = struct.unpack("!xBH", begin[12:])
        rest = connection.recv(size, socket.MSG_WAITALL) if size else b""
        if kind >> 4 != 1 or size < 12:
            return f"2 {begin[12]:#x} {kind:#x} {rest.hex()}"
        *names, source, destination = struct.unpack("!4s4sHH", rest[:12])
        names = map(socket.inet_ntoa, names)
        return f"2 {begin[12]:#x} {next(names)}:{source} {next(names)}:{destination} {rest[12:].hex()}".rstrip()
    if begins_with(connection, b"PROXY "):
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        _, kind, *names = line.decode().split()
        return f"1 {kind} {names[0]}:{names[2]} {names[1]}:{names[3]}" if len(names) == 4 else line.decode()
    return None


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def begins_with(connection, wanted):
    """True where the next bytes are these: as many as tell it are waited for, and none is taken."""
    seen = b""
    while wanted.startswith(seen) and len(seen) < len(wanted):
        before, seen = seen, connection.recv(len(wanted), socket.MSG_PEEK)
        if seen == before:
            time.sleep(0.005)
        if not seen:
            return False
    return seen == wanted


class Anything(Servers):
    """What is spoken is told by the first bytes, and inside TLS by what was agreed on. The handshake belongs to the
    connection's own thread."""

    tls = None

    def finish_request(self, request, client):
        # A capital letter begins an HTTP method, and no method of HTTP/1 these three.
        proxied[client] = proxy_header(request)
        handler, first = Echo, request.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            request = self.tls.wrap_socket(request, server_side=True)
            handler = Streams if request.selected_alpn_protocol() == "h2" else Site
        elif first.isupper():
            while first in (b"P", b"PR"):
                first = request.recv(3, socket.MSG_PEEK)
            handler = Streams if first == b"PRI" else Site
        try:
            handler(request, client, self)
        finally:
            del proxied[client]

    def handle_error(self, request, client):
        """A caller that leaves, or does not like the certificate, is no news."""


def address(connection):
    return "%s:%d" % connection.getsockname()[:2]


def certificate(connection):
    """The names of whom a caller shows itself to be, in TLS."""
    shown = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    return [name for part in shown["subject"] for name in part] if shown else None


def note_server_name(connection, name, context):
    connection.asked_for = name


class Anything6(Anything):
    """The same over IPv6."""

    address_family = socket.AF_INET6


def main():
    tls = Anything.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{sys.argv[1]}/sites.crt", f"{sys.argv[1]}/sites.key")
    # Asked for, and written down; nobody must show one.
    tls.load_verify_locations(f"{sys.argv[1]}/sites-ca.crt")
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.set_alpn_protocols(["h2", "http/1.1"])
    tls.sni_callback = note_server_name
    servers = [of((every, port), None) for of, every in ((Anything, "0.0.0.0"), (Anything6, "::")) for port in PORTS]
    for server in [*servers, Servers(("0.0.0.0", 27017), Greeter)]:
        threading.Thread(target=server.serve_forever).start()


main()
