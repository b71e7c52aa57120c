#!/usr/bin/env python3
"""Measures Egret's sidecar beside Envoy; `make bench` runs it and writes RESULTS.md.

Everything lives in one private network namespace: both proxies get their connections by an nftables REDIRECT and ask
the kernel for the original destination. The subject under load is pinned to the first CPU, load and sites to the
second. Order is shuffled inside each round. CPU time is the kernel's own count of the subject's threads (schedstat),
so requests that others slow down do not change it. Python standard library only.
"""

import argparse
import os
import platform
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import subjects

HERE = Path(__file__).resolve().parent
NAMESPACE_MARK = "EGRET_BENCH_NAMESPACE"
SUBJECT_CPU, OTHER_CPU = 0, 1
SUBJECTS = {"envoy": ("198.18.0.1", 15001), "egret": ("198.18.0.2", 25001)}
# What is asked, with how many connections, and wrk's further arguments.
LOADS = {
    "HTTP/1.1 keep-alive, 119 B": ("http", 64, []),
    "HTTP, new connection per request": ("http", 64, ["-H", "Connection: close"]),
    "SNI passthrough, TLS handshake per request": ("https", 32, ["-H", "Connection: close"]),
}


def host(subject):
    return f"{subject}.bench.test"


def enter_namespace():
    """Starts this program again in a network and mount namespace of its own; works for root and for others."""
    if os.environ.get(NAMESPACE_MARK):
        return
    os.environ[NAMESPACE_MARK] = "1"
    os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable, *sys.argv])


def prepare_network(directory):
    run = lambda *command: subprocess.run(command, check=True)
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "198.18.0.0/15", "dev", "lo")
    rules = "".join(
        f"ip daddr {address} tcp dport {{ 80, 443 }} redirect to :{port}\n" for address, port in SUBJECTS.values()
    )
    table = f"table ip bench {{\nchain output {{\ntype nat hook output priority -100;\n{rules}}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65000")
    Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text("8080,8443,15000,15001,25001")
    Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
    names = directory / "hosts"
    names.write_text("".join(f"{address} {host(name)}\n" for name, (address, _) in SUBJECTS.items()))
    run("mount", "--bind", str(names), "/etc/hosts")


class Processes:
    """Children, each stopped by its own pid."""

    def __init__(self, directory):
        self.directory, self.children = directory, []

    def start(self, name, cpu, command):
        log = open(self.directory / f"{name}.log", "w")
        child = subprocess.Popen(["taskset", "-c", str(cpu), *map(str, command)], stdout=log, stderr=log)
        self.children.append(child)
        return child.pid

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def start_site(processes, nginx):
    """The sites that both subjects call."""
    directory = processes.directory
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=bench.test", "-keyout", directory / "site.key", "-out", directory / "site.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    processes.start("nginx", OTHER_CPU, [nginx, "-p", directory, "-c", subjects.site(directory)])
    wait_for_port(subjects.SITE_HTTP, directory / "nginx.log")


def start_egret(processes, program):
    directory, port = processes.directory, SUBJECTS["egret"][1]
    command = [program, "run", "--policy", subjects.egret(directory, host("egret")), "--workers", "1"]
    command += ["--outbound", f"127.0.0.1:{port}", "--access-log", directory / "egret-access.log"]
    pid = processes.start("egret", SUBJECT_CPU, command)
    wait_for_port(port, directory / "egret.log")
    return pid


def start_envoy(processes, program):
    directory, port = processes.directory, SUBJECTS["envoy"][1]
    config = subjects.envoy(directory, host("envoy"), port, directory / "envoy-access.log")
    command = [program, "-c", config, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    pid = processes.start("envoy", SUBJECT_CPU, command)
    wait_for_port(port, directory / "envoy.log")
    return pid


def wait_for_port(port, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}:\n{log.read_text()[-2000:]}")


def cpu_ns(pid):
    """CPU time of all threads that live; the subjects start no short-lived ones under load."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def memory_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def load(subject, pid, what, seconds):
    """One cell: a few seconds of one load on one subject."""
    scheme, connections, more = LOADS[what]
    url = f"{scheme}://{host(subject)}/"
    command = ["taskset", "-c", str(OTHER_CPU), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *more, url]
    before = cpu_ns(pid)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = cpu_ns(pid) - before
    requests = int(re.search(r"(\d+) requests in", output)[1])
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if requests == 0:
        sys.exit(f"{subject}, {what}: no request came through:\n{output}")
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        "p50": milliseconds(re.search(r"^\s+50%\s+(\S+)", output, re.MULTILINE)[1]),
        "p99": milliseconds(re.search(r"^\s+99%\s+(\S+)", output, re.MULTILINE)[1]),
        "cpu": used / requests / 1000,
        "errors": sum(map(int, sockets.groups()) if sockets else []) + (int(refused[1]) if refused else 0),
        "rss": memory_mib(pid),
    }


def measure(pids, rounds, seconds):
    cells = {}
    for what in LOADS:
        for subject, pid in pids.items():
            load(subject, pid, what, 1)  # warms pools and caches; not counted
    for number in range(rounds):
        order = [(subject, what) for subject in pids for what in LOADS]
        random.shuffle(order)
        for subject, what in order:
            cell = load(subject, pids[subject], what, seconds)
            cells.setdefault((what, subject), []).append(cell)
            print(f"round {number + 1}  {subject:6} {what:44} {cell['rps']:9.0f} rps  {cell['cpu']:6.1f} us CPU", flush=True)
    return cells


def check_answers():
    """Both subjects really pass the site's answer, by name, before anything is measured."""
    for subject in SUBJECTS:
        for scheme in ("http", "https"):
            answer = subprocess.run(
                ["curl", "-sk", "-m", "5", f"{scheme}://{host(subject)}/"], capture_output=True, text=True
            ).stdout
            if answer != "x" * 119:
                sys.exit(f"{subject} over {scheme} answered {answer!r}")


def check_logs(directory):
    """A subject that stopped writing its access log would look faster than it is."""
    for subject in SUBJECTS:
        lines = sum(1 for _ in open(directory / f"{subject}-access.log", errors="replace"))
        print(f"{subject}: {lines} access log lines")
        if lines < 1000:
            sys.exit(f"{subject} wrote only {lines} access log lines")


def version(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()[0]


def report(cells, start_memory, rounds, seconds, versions):
    envoy_version, egret_version = versions
    median = lambda what, subject, field: statistics.median(cell[field] for cell in cells[what, subject])
    lines = [
        "# Egret's sidecar beside Envoy",
        "",
        f"Written by `make bench` on {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC. Medians of {rounds} rounds of"
        f" {seconds} s; the order is shuffled inside each round. Ratios are medians of the rounds' own ratios to Envoy,"
        " with the smallest and largest in brackets.",
        "",
        *disturbed(),
        "| load | subject | requests/s | p50 ms | p99 ms | CPU us/request | RSS MiB | errors |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for what in LOADS:
        for subject in SUBJECTS:
            numbers = {field: median(what, subject, field) for field in ("rps", "p50", "p99", "cpu", "rss")}
            errors = sum(cell["errors"] for cell in cells[what, subject])
            lines.append(
                f"| {what} | {subject} | {numbers['rps']:,.0f} | {numbers['p50']:.2f} | {numbers['p99']:.2f} "
                f"| {numbers['cpu']:.1f} | {numbers['rss']:.0f} | {errors} |"
            )
    lines += ["", "| load | CPU, egret / Envoy | requests/s, egret / Envoy |", "| --- | --- | --- |"]
    for what in LOADS:
        row = f"| {what} "
        for field in ("cpu", "rps"):
            ratios = [a[field] / b[field] for a, b in zip(cells[what, "egret"], cells[what, "envoy"])]
            row += f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
        lines.append(row + "|")
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    lines += [
        "",
        f"RSS at start: " + ", ".join(f"{subject} {memory:.0f} MiB" for subject, memory in start_memory.items()) + ".",
        "",
        "## Machine and versions",
        "",
        f"- {model[1] if model else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        f"- load average when the run began: {LOAD_AT_START[0]:.2f}; other work on the machine lowers requests/s and"
        " raises latencies of both subjects, the CPU column much less",
        f"- Envoy {envoy_version.split('version: ')[-1]}",
        f"- {egret_version}, the static program of the packages",
        f"- {version('wrk', '-v')}",
        "",
        "## Method",
        "",
        "One private network namespace; nftables redirects the subjects' site addresses to them, and both read the"
        f" original destination from the kernel. {subjects.SERVICES} services with HTTP on 80 and TLS on 443, static"
        " endpoints; mode REGISTRY_ONLY. Envoy (`--concurrency 1`) has an Istio sidecar's outbound shape"
        " (`tests/bench/subjects.py`): original-destination listener, TLS and HTTP inspectors, grpc_stats, fault, cors,"
        " router, retry policy, SNI chains; Istio's own filters (alpn, stats, metadata exchange) are not in this build."
        " Egret's sidecar runs with `--workers 1`. Both write Istio's text access log to a file. The subject has the"
        " first CPU, wrk and nginx (the site, 119 bytes) share the second. CPU is the scheduler's count for the"
        " subject's threads, divided by wrk's completed requests.",
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines))


LOAD_AT_START = os.getloadavg()


def disturbed():
    """Says so where other work held the CPUs."""
    if LOAD_AT_START[0] < 1:
        return []
    return [
        f"**Disturbed run**: the load average was {LOAD_AT_START[0]:.1f} when it began. Only the CPU column and its ratio"
        " mean something here; requests/s and latencies tell about the machine.",
        "",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envoy", required=True, help="Envoy binary")
    parser.add_argument("--nginx", required=True, help="nginx binary")
    parser.add_argument("--egret", required=True, help="egret-proxy, release build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    enter_namespace()
    with tempfile.TemporaryDirectory(prefix="egret-bench-") as name:
        directory = Path(name)
        os.chmod(directory, 0o755)
        prepare_network(directory)
        processes = Processes(directory)
        try:
            start_site(processes, arguments.nginx)
            pids = {
                "envoy": start_envoy(processes, arguments.envoy),
                "egret": start_egret(processes, arguments.egret),
            }
            time.sleep(0.5)
            start_memory = {subject: memory_mib(pid) for subject, pid in pids.items()}
            check_answers()
            cells = measure(pids, arguments.rounds, arguments.seconds)
            check_logs(directory)
            versions = [version(program, "--version") for program in (arguments.envoy, arguments.egret)]
            report(cells, start_memory, arguments.rounds, arguments.seconds, versions)
        finally:
            processes.stop()
    print(f"written: {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
