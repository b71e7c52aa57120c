#!/usr/bin/env python3
"""Which functions a sidecar runs when it starts and serves: `make first` runs this, and it writes proxy-core/first.ld.

The linker places these next to each other. A kernel maps the pages around each one that is used, so that of functions that lie
scattered most of the program would be resident; and a request that comes after a pause finds them in fewer pages and lines of
the processor's caches. What is listed and not there any more is passed over, what is new lies elsewhere: the list is no
contract, and is written again when the sidecar's memory at the start has grown.
"""

import collections
import http.server
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

from manifests import ENTRY, MESH
from pod import ADMIN, EXPLICIT, HEALTH, Answer, request

REQUESTS, PATIENCE = 20, 120
# Other instances of a name come with those that ran; not where they are larger than all that would be around one elsewhere.
AROUND = 1_000_000
SITE = "site-1.example.com"

HEAD = """/* Functions that a sidecar runs when it starts and serves, placed next to each other: see tests/bench/first.py.
 * Written by `make first`. */
"""


def ask(address, head):
    """One request on a connection of its own."""
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode() + b"\r\nconnection: close\r\n\r\n")
        while connection.recv(65_536):
            pass


def wait_for(process, health):
    until = time.monotonic() + PATIENCE
    while True:
        try:
            ask(health, "GET /ready HTTP/1.1\r\nhost: pod")
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                sys.exit("the sidecar did not become ready under valgrind")
            time.sleep(0.1)


def serve():
    """Has the sidecar do what it does in most pods: answer requests, and refuse some."""
    with socket.create_connection(EXPLICIT) as kept:
        for _ in range(REQUESTS):
            request(kept)
    ask(EXPLICIT, "GET http://198.18.0.99/ HTTP/1.1\r\nhost: 198.18.0.99")


def run(binary, place):
    """The names of the functions that ran."""
    (place / "policy").mkdir()
    (place / "policy" / "policy.yaml").write_text("---\n".join([MESH] + [ENTRY.format(index) for index in range(10)]))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    out = place / "callgrind.out"
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}"]
    sidecar = [str(binary), "run", f"--policy={place / 'policy'}", f"--admin={ADMIN}", f"--health={HEALTH}"]
    sidecar += ["--access-log=/dev/null", f"--explicit={EXPLICIT[0]}:{EXPLICIT[1]}", "--outbound=127.0.0.1:0"]
    host, port = server.server_address
    sidecar += ["--labels=app=first", f"--host={SITE}=198.18.0.10", f"--map=198.18.0.10:80={host}:{port}"]
    process = subprocess.Popen(valgrind + sidecar, stderr=subprocess.DEVNULL)
    host, port = HEALTH.rsplit(":", 1)
    wait_for(process, (host, int(port)))
    dump = ["callgrind_control", "--dump", str(process.pid)]
    subprocess.run(dump, check=True, stdout=subprocess.DEVNULL)
    serve()
    subprocess.run(dump, check=True, stdout=subprocess.DEVNULL)
    ask((host, int(port)), "GET /metrics HTTP/1.1\r\nhost: pod")
    process.terminate()
    process.wait()
    # What requests run comes before what only the start does, and that before the rest.
    dumps = [out.with_name(f"{out.name}.2"), out.with_name(f"{out.name}.1"), out]
    names = (re.findall(r"^c?fn=\(\d+\) (\S+?)(?:'\d+)?$", dump.read_text(), re.MULTILINE) for dump in dumps)
    return list(dict.fromkeys(name for some in names for name in some))


def pattern(name):
    """A name as another build has it as well: without the hashes of crates and of instances."""
    name = re.sub(r"\.llvm\.\d+$", ".llvm.*", name)
    name = re.sub(r"17h[0-9a-f]{16}E(\.llvm\.\*)?$", "17h*", name)
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name)


def sizes(binary):
    """The size of every function that has a symbol."""
    lines = subprocess.run(["nm", "-S", "--defined-only", binary], capture_output=True, text=True, check=True).stdout
    fields = (line.split() for line in lines.splitlines())
    return {field[3]: int(field[1], 16) for field in fields if len(field) == 4 and field[2] in "tTwW"}


def main():
    binary, page = map(pathlib.Path, sys.argv[1:3])
    size = sizes(binary)
    if not size:
        sys.exit(f"{binary} has no symbols")
    with tempfile.TemporaryDirectory() as place:
        ran = [name for name in run(binary, pathlib.Path(place)) if name in size]
    instances, used = collections.Counter(), collections.Counter()
    for name in size:
        instances[pattern(name)] += size[name]
    for name in ran:
        used[pattern(name)] += size[name]
    first = [one for one in used if instances[one] <= used[one] + AROUND]
    # What the compiler takes for hot or unlikely stands in sections of other names.
    lines = "".join(f"    *(.text.{one} .text.hot.{one} .text.unlikely.{one})\n" for one in first)
    page.write_text(f"{HEAD}SECTIONS\n{{\n  .text.first : {{\n{lines}  }}\n}}\nINSERT BEFORE .text;\n")
    print(f"{len(first)} names, {sum(instances[one] for one in first) / 1e6:.1f} MB of functions; {page}")


if __name__ == "__main__":
    main()
