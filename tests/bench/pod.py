#!/usr/bin/env python3
"""What a sidecar takes of a pod: `make bench-pod` runs this, and it writes tests/bench/POD.md.

The program of the container image runs as it does there: as its own user, with no capability, on a file system that it cannot
write to, with no account of a cluster; one policy is small, the other names 5,000 hosts. Measured from outside: the time until
it is ready, its memory, and the processor time that 100 requests a second take, in turns with Envoy and with a relay that reads
nothing. Last, what a request of 10 thousandths of a processor gives on a node that has no time to spare.
"""

import http.server
import json
import math
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

ENTRIES, ROUNDS, RATE, SECONDS, TURNS = 5_000, 7, 100, 10, 3
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

    def status(self, which):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith(which))

    def memory(self, which):
        """MB that are resident now (`VmRSS`), of that its own (`RssAnon`), or at most so far (`VmHWM`)."""
        return int(self.status(which)) * 1024 / 1e6

    def end(self):
        self.process.terminate()
        self.process.wait()


class Envoy:
    """Envoy as a plain proxy for one site: a listener, the router and an access log, none of Istio's filters or hosts."""

    def __init__(self, binary, place, site):
        kind = "type.googleapis.com/envoy.extensions"
        log = {"@type": f"{kind}.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}
        router = {"@type": f"{kind}.filters.http.router.v3.Router"}
        route = {"match": {"prefix": "/"}, "route": {"cluster": "site"}}
        manager = {
            "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "outbound",
            "access_log": [{"name": "file", "typed_config": log}],
            "http_filters": [{"name": "router", "typed_config": router}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        }

        def at(address):
            return {"address": {"socket_address": {"address": address[0], "port_value": address[1]}}}

        filters = [{"name": "http", "typed_config": manager}]
        endpoints = [{"lb_endpoints": [{"endpoint": at(site)}]}]
        cluster = {"name": "site", "load_assignment": {"cluster_name": "site", "endpoints": endpoints}}
        listener = {"name": "outbound", **at(EXPLICIT), "filter_chains": [{"filters": filters}]}
        (place / "envoy.json").write_text(
            json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
        )
        run = [binary, "-c", place / "envoy.json", "--base-id", "7", "--concurrency", str(os.cpu_count()), "-l", "off"]
        self.process = subprocess.Popen(run)

    def ready(self):
        """Waits until it listens."""
        while True:
            try:
                socket.create_connection(EXPLICIT).close()
                break
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("Envoy ended before it was ready")
                time.sleep(0.01)

    def end(self):
        self.process.terminate()
        self.process.wait()


class Relay:
    """What copies bytes for one site and reads none of them: what connections and wake-ups alone take here."""

    def __init__(self, binary, site):
        addresses = [f"{host}:{port}" for host, port in (EXPLICIT, site)]
        self.process = subprocess.Popen([binary, *addresses])

    ready, end = Envoy.ready, Envoy.end


class Groups:
    """Control groups that share the processors as those of a node's pods do, beside whatever else runs."""

    NAMES = "pod", "neighbour"
    V1, V2 = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")

    def __init__(self, weights):
        self.weights = weights

    def __enter__(self):
        is_v1 = self.V1.is_dir()
        self.all = (self.V1 if is_v1 else self.V2) / "egret-bench"
        self.all.mkdir(exist_ok=True)
        if not is_v1:
            (self.all / "cgroup.subtree_control").write_text("+cpu")
        for name, weight in zip(self.NAMES, self.weights):
            (self.all / name).mkdir(exist_ok=True)
            if is_v1:
                # Shares, of which two are the least.
                (self.all / name / "cpu.shares").write_text(str(26 * weight))
            else:
                (self.all / name / "cpu.weight").write_text(str(weight))
        return self

    def take(self, name, process):
        """Moves a process, with all its threads."""
        (self.all / name / "cgroup.procs").write_text(str(process.pid))

    def __exit__(self, *_):
        for group in [self.all / name for name in self.NAMES] + [self.all]:
            group.rmdir()


def weights(rule):
    """The weights of a request of 10 m and of one for all the rest of this computer, by a rule of Kubernetes' runtimes."""
    return [rule(milli * 1024 // 1000) for milli in (10, os.cpu_count() * 1000 - 10)]


# What `runc` makes of shares, as its package libcontainer/cgroups says it.
RULES = {
    "since 1.3.2": lambda shares: math.ceil(10 ** ((math.log2(shares) ** 2 + 125 * math.log2(shares)) / 612 - 7 / 34)),
    "before": lambda shares: 1 + (shares - 2) * 9_999 // 262_142,
}


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


def processor(process):
    """Seconds of processor time so far, by the scheduler's own count."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def load(proxy):
    """100 requests a second over kept connections: the thousandths of a processor that they take, how many a second there were,
    and the milliseconds that each took."""
    connections = [socket.create_connection(EXPLICIT) for _ in range(4)]
    for connection in connections:
        request(connection)
    times, cost, began = [], processor(proxy.process), time.monotonic()
    for index in range(RATE * SECONDS):
        wait = began + index / RATE - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        asked = time.monotonic()
        request(connections[index % len(connections)])
        times.append((time.monotonic() - asked) * 1000)
    took = time.monotonic() - began
    return (processor(proxy.process) - cost) / took * 1000, RATE * SECONDS / took, times


def beside_a_neighbour(start, weights):
    """How many of 100 requests a second there are, and the milliseconds of most of them, where a neighbour takes all that the
    proxy has no right to."""
    with Groups(weights) as groups:
        proxy, hogs = start(), []
        try:
            proxy.ready()
            groups.take("pod", proxy.process)
            for _ in range(os.cpu_count()):
                hogs.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                groups.take("neighbour", hogs[-1])
            _, rate, times = load(proxy)
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
            proxy.end()
    percent = statistics.quantiles(times, n=100)
    return f"{rate:.0f} of {RATE} | {percent[49]:.1f} ms | {percent[98]:.1f} ms"


def image_environment(archive):
    """The variables that a container of the image starts with."""
    with tarfile.open(archive) as files:

        def document(path):
            return json.load(files.extractfile(path))

        config = document(document("manifest.json")[0]["Config"])
    return dict(variable.split("=", 1) for variable in config["config"]["Env"])


def measure(start_sidecar):
    ready, start = [], []
    for _ in range(ROUNDS):
        sidecar = start_sidecar()
        ready.append(sidecar.ready())
        time.sleep(1)
        start.append([sidecar.memory(which) for which in ("VmRSS", "RssAnon", "VmHWM")])
        last = len(ready) == ROUNDS
        if last:
            assert (sidecar.status("CapEff"), sidecar.status("CapBnd"), sidecar.status("Uid")) == ("0" * 16, "0" * 16, "1339")
            load(sidecar)
            after = sidecar.memory("VmRSS")
        sidecar.end()
    resident, own, most = (statistics.median(values) for values in zip(*start))
    ready = statistics.median(ready)
    return {"ready": ready, "resident": resident, "own": own, "most": most, "after": after}


def costs(proxies):
    """What each proxy takes at that rate: medians of some turns, in which all have theirs."""
    turns = []
    for _ in range(TURNS):
        turn = []
        for start in proxies:
            proxy = start()
            proxy.ready()
            turn.append(load(proxy)[:2])
            proxy.end()
        turns.append(turn)
    return [tuple(map(statistics.median, zip(*one))) for one in zip(*turns)]


def processor_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main():
    binary, archive, envoy, relay, page = (pathlib.Path(argument) for argument in sys.argv[1:6])
    average = os.getloadavg()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        # The binary may lie where the sidecar's user cannot look.
        own = place / "egret-proxy"
        own.write_bytes(binary.read_bytes())
        own.chmod(0o755)
        environment = image_environment(archive)

        site = server.server_address

        def with_few():
            return Sidecar(own, environment, place, 10, site)

        def with_many():
            return Sidecar(own, environment, place, ENTRIES, site)

        small, large = measure(with_few), measure(with_many)
        def with_envoy():
            return Envoy(envoy, place, site)

        *taken, bare, least = costs([with_few, with_many, with_envoy, lambda: Relay(relay, site)])
        kinds = {"10 ServiceEntries": with_few, "Envoy 1.40, bare": with_envoy}
        crowded = "\n".join(
            f"| {kind} | {when} | {' : '.join(map(str, weights(rule)))} | {beside_a_neighbour(start, weights(rule))} |"
            for when, rule in RULES.items()
            for kind, start in kinds.items()
        )

    def row(name, figures, cost):
        return (
            f"| {name} | {figures['ready']:.0f} ms | {figures['resident']:.1f} MB | {figures['own']:.1f} MB "
            f"| {figures['most']:.1f} MB | {figures['after']:.1f} MB | {cost[0]:.1f} m at {cost[1]:.0f}/s |"
        )

    page.write_text(
        f"""# What a sidecar takes of a pod

Written by `make bench-pod` on {time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}.

The static program of the container image, as user 1339 without any capability, on a file system that is read-only, with
neither account nor cluster, and with the variables that the image sets. "Ready" counts from the start of its process until
`/ready` answers; memory is what is resident a second later; both are medians of {ROUNDS} starts. "Its own" is without the pages
of the program's file, which all sidecars of a node share. "Processor" is what {RATE} requests a second over four connections
that stay open take, in thousandths of one, as a pod's requests are written: the medians of {TURNS} turns of {SECONDS} s, in which
Envoy has its own, as a plain proxy with one route, an access log and none of Istio's filters, and so has a relay that copies
bytes and reads none of them. The relay's is what connections and wake-ups alone cost on this machine.

| policy | ready | resident then | its own | at most | resident after traffic | processor |
| --- | --- | --- | --- | --- | --- | --- |
{row("10 ServiceEntries", small, taken[0])}
{row(f"{ENTRIES:,} ServiceEntries", large, taken[1])}
| Envoy 1.40, bare | | | | | | {bare[0]:.1f} m at {bare[1]:.0f}/s |
| a relay of bytes | | | | | | {least[0]:.1f} m at {least[1]:.0f}/s |
| wanted | {LIMITS['ready']} ms | {LIMITS['start']:.0f} and {LIMITS['entries']:.0f} MB | | | | {LIMITS['processor']:.0f} m |

## With a request of 10 m on a node that is full

A request is a weight, and it counts where others want all the processors. Here a neighbour does, who has asked for all the
rest and runs a loop on each; the weights are those of version 2 of control groups, for which runc 1.3.2 changed the rule.
{RATE} requests a second are asked, one after another; what each took is seen by who asks.

| proxy | runc | weights | requests a second | half took at most | 99% took at most |
| --- | --- | --- | --- | --- | --- |
{crowded}

- program {binary.stat().st_size / 1e6:.1f} MB, image archive {archive.stat().st_size / 1e6:.1f} MB
- {processor_name()}, {os.cpu_count()} CPUs, Linux {os.uname().release}
- load average when it began: {" ".join(f"{value:.2f}" for value in average)}
"""
    )


if __name__ == "__main__":
    main()
