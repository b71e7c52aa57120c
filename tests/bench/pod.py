#!/usr/bin/env python3
"""What a sidecar takes of a pod: `make bench-pod` runs this, and it writes tests/bench/POD.md.

The program of the container image runs as it does there: as its own user, with no capability, on a file system that it cannot
write to, with no account of a cluster; one policy is small, the other names 5,000 hosts. Measured from outside: the time until
it is ready, its memory, and the processor time that 100 requests a second take.
"""

import http.server
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request

from manifests import ENTRY, MESH

ENTRIES, ROUNDS, RATE, SECONDS = 5_000, 7, 100, 20
LIMITS = {"start": 10.0, "entries": 25.0, "ready": 300, "processor": 10.0}
ADMIN, HEALTH, EXPLICIT = "127.0.0.1:15970", "127.0.0.1:15971", ("127.0.0.1", 15972)


class Sidecar:
    """A running sidecar, seen from outside."""

    def __init__(self, binary, environment, place, entries, site):
        policy = place / f"policy-{entries}"
        policy.mkdir(exist_ok=True)
        documents = [MESH] + [ENTRY.format(index) for index in range(entries)]
        (policy / "policy.yaml").write_text("---\n".join(documents))
        for path in (place, policy, policy / "policy.yaml"):
            path.chmod(0o755)
        # All is read-only to this user, and nothing is kept of what this process may do.
        guarded = ["setpriv", "--reuid=1339", "--regid=1339", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        guarded = ["unshare", "--mount", "--", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh", *guarded, "--"]
        run = [str(binary), "run", f"--policy={policy}", f"--admin={ADMIN}", f"--health={HEALTH}", "--access-log=/dev/null"]
        run += [f"--explicit={EXPLICIT[0]}:{EXPLICIT[1]}", "--outbound=127.0.0.1:0", "--labels=app=bench"]
        run += ["--host=site-1.example.com=198.18.0.10", f"--map=198.18.0.10:80={site[0]}:{site[1]}"]
        # `exec` all the way: the process that is started is the sidecar.
        self.process = subprocess.Popen(
            guarded + run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
        )

    def get(self, path):
        with urllib.request.urlopen(f"http://{HEALTH}{path}", timeout=60) as answer:
            return answer.read()

    def ready(self):
        """Milliseconds from its own start until it is ready."""
        while True:
            try:
                self.get("/ready")
                break
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("the sidecar ended before it was ready")
                time.sleep(0.001)
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - self.began()) * 1000

    def stat(self):
        return pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()

    def began(self):
        """When the process was made, which is a little before it became the sidecar."""
        return int(self.stat()[19]) / os.sysconf("SC_CLK_TCK")

    def processor(self):
        """Seconds of processor time so far, by the scheduler's own count."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def status(self, which):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith(which))

    def memory(self, which):
        """MB that are resident now (`VmRSS`), of that its own (`RssAnon`), or at most so far (`VmHWM`)."""
        return int(self.status(which)) * 1024 / 1e6

    def end(self):
        self.process.terminate()
        self.process.wait()


class Answer(http.server.BaseHTTPRequestHandler):
    """A site that answers with little."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def request(connection):
    connection.sendall(b"GET http://site-1.example.com/ HTTP/1.1\r\nhost: site-1.example.com\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        piece = connection.recv(4096)
        if not piece or b" 200 " not in (answer + piece)[:20]:
            sys.exit(f"no answer of the site: {answer + piece}")
        answer += piece


def milli_cpus(sidecar):
    """Thousandths of a processor that 100 requests a second over kept connections take."""
    connections = [socket.create_connection(EXPLICIT) for _ in range(4)]
    for connection in connections:
        request(connection)
    cost, began = sidecar.processor(), time.monotonic()
    for index in range(RATE * SECONDS):
        wait = began + index / RATE - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        request(connections[index % len(connections)])
    took = time.monotonic() - began
    rate = RATE * SECONDS / took
    return (sidecar.processor() - cost) / took * 1000, rate


def image_environment(archive):
    """The variables that a container of the image starts with."""
    with tarfile.open(archive) as files:

        def document(path):
            return json.load(files.extractfile(path))

        config = document(document("manifest.json")[0]["Config"])
    return dict(variable.split("=", 1) for variable in config["config"]["Env"])


def measure(binary, environment, place, entries, site):
    ready, start = [], []
    for _ in range(ROUNDS):
        sidecar = Sidecar(binary, environment, place, entries, site)
        ready.append(sidecar.ready())
        time.sleep(1)
        start.append([sidecar.memory(which) for which in ("VmRSS", "RssAnon", "VmHWM")])
        last = len(ready) == ROUNDS
        if last:
            assert (sidecar.status("CapEff"), sidecar.status("CapBnd"), sidecar.status("Uid")) == ("0" * 16, "0" * 16, "1339")
            cost, rate = milli_cpus(sidecar)
            after = sidecar.memory("VmRSS")
        sidecar.end()
    resident, own, most = (statistics.median(values) for values in zip(*start))
    ready = statistics.median(ready)
    return {"ready": ready, "resident": resident, "own": own, "most": most, "cost": cost, "rate": rate, "after": after}


def processor_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main():
    binary, archive, page = (pathlib.Path(argument) for argument in sys.argv[1:4])
    load = os.getloadavg()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        # The binary may lie where the sidecar's user cannot look.
        own = place / "egret-proxy"
        own.write_bytes(binary.read_bytes())
        own.chmod(0o755)
        environment = image_environment(archive)
        small = measure(own, environment, place, 10, server.server_address)
        large = measure(own, environment, place, ENTRIES, server.server_address)

    def row(name, figures):
        return (
            f"| {name} | {figures['ready']:.0f} ms | {figures['resident']:.1f} MB | {figures['own']:.1f} MB "
            f"| {figures['most']:.1f} MB | {figures['after']:.1f} MB | {figures['cost']:.1f} m at {figures['rate']:.0f}/s |"
        )

    page.write_text(
        f"""# What a sidecar takes of a pod

Written by `make bench-pod` on {time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}.

The static program of the container image, as user 1339 without any capability, on a file system that is read-only, with
neither account nor cluster, and with the variables that the image sets. "Ready" counts from the start of its process until
`/ready` answers; memory is what is resident a second later; both are medians of {ROUNDS} starts. "Its own" is without the pages
of the program's file, which all sidecars of a node share. Then {RATE} requests a second pass for {SECONDS} seconds, over four
connections that stay open; "processor" is what that takes, in thousandths of one, as a pod's requests are written.

| policy | ready | resident then | its own | at most | resident after traffic | processor |
| --- | --- | --- | --- | --- | --- | --- |
{row("10 ServiceEntries", small)}
{row(f"{ENTRIES:,} ServiceEntries", large)}
| wanted | {LIMITS['ready']} ms | {LIMITS['start']:.0f} and {LIMITS['entries']:.0f} MB | | | | {LIMITS['processor']:.0f} m |

- program {binary.stat().st_size / 1e6:.1f} MB, image archive {archive.stat().st_size / 1e6:.1f} MB
- {processor_name()}, {os.cpu_count()} CPUs, Linux {os.uname().release}
- load average when it began: {" ".join(f"{value:.2f}" for value in load)}
"""
    )


if __name__ == "__main__":
    main()
