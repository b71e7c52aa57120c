"""sites.py FOLDER: the world outside the test mesh. HTTP on 80 and HTTPS on 443 that answer like httpbin, and a TCP echo
on 27017 that speaks first. FOLDER has the certificate and its key, sites.crt and sites.key."""

import http.server
import json
import socketserver
import ssl
import sys
import threading
import time


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        words = self.path.split("?")[0].split("/")
        if words[1] == "delay":
            time.sleep(min(float(words[2]), 30))
        status = int(words[2]) if words[1] == "status" else 200
        seen = {"headers": dict(self.headers), "url": self.path, "peer": self.client_address[0]}
        body = b"x" * int(words[2]) if words[1] == "bytes" else json.dumps(seen, indent=1).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *arguments):
        pass


class Web(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"hello\n")
        while received := self.request.recv(4096):
            self.request.sendall(received)


class Echoes(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{sys.argv[1]}/sites.crt", f"{sys.argv[1]}/sites.key")
    plain, secure = Web(("0.0.0.0", 80), Site), Web(("0.0.0.0", 443), Site)
    # The handshake belongs to the connection's own thread.
    secure.socket = tls.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    for server in (plain, secure, Echoes(("0.0.0.0", 27017), Echo)):
        threading.Thread(target=server.serve_forever).start()


main()
