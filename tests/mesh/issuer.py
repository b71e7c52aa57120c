#!/usr/bin/env python3
"""issuer.py PKI ADDRESS: an OpenID Connect issuer at https://ADDRESS:8443, under the API server's certificate. It logs in
whoever asks: /token?user=jane&groups=a,b&seconds=60 answers with the id-token."""
import base64
import json
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

pki, address = sys.argv[1:]
issuer = f"https://{address}:8443"


def openssl(*arguments, said=None):
    return subprocess.run(["openssl", *arguments], input=said, capture_output=True, check=True).stdout


def coded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


modulus = openssl("rsa", "-in", f"{pki}/oidc.key", "-noout", "-modulus").decode().strip().split("=")[1]
key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": coded(bytes.fromhex(modulus)), "e": "AQAB"}
documents = {
    "/.well-known/openid-configuration": {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/keys",
        "authorization_endpoint": f"{issuer}/authorize",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    },
    "/keys": {"keys": [key]},
}


def token(user, groups, seconds):
    now = int(time.time())
    claims = {"iss": issuer, "aud": "egret", "sub": user, "groups": groups, "iat": now, "exp": now + seconds}
    parts = ({"alg": "RS256", "kid": "one", "typ": "JWT"}, claims)
    signed = ".".join(coded(json.dumps(part).encode()) for part in parts)
    signature = openssl("dgst", "-sha256", "-sign", f"{pki}/oidc.key", "-binary", said=signed.encode())
    return f"{signed}.{coded(signature)}"


class Issuer(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/token":
            body = token(asked["user"], asked.get("groups", "").split(","), int(asked["seconds"])).encode()
        elif url.path in documents:
            body = json.dumps(documents[url.path]).encode()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("0.0.0.0", 8443), Issuer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{pki}/apiserver.crt", f"{pki}/apiserver.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
