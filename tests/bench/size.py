#!/usr/bin/env python3
"""How a policy of many objects loads: `make bench-size` runs this, and it writes tests/bench/SIZE.md.

100,000 ServiceEntries and 10,000 VirtualServices, once in files of 500 documents and once in files of six, are given to
the sidecar. Measured from outside: the time until it is ready, its memory, and how soon a change of one file holds.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

from manifests import ENTRY, MESH

ENTRIES, VIRTUAL_SERVICES, CHANGES = 100_000, 10_000, 9
ADMIN = "127.0.0.1:15990"

VIRTUAL_SERVICE = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: site-{0}
  namespace: default
spec:
  hosts:
  - site-{0}.example.com
  http:
  - timeout: 3s
    route:
    - destination:
        host: site-{0}.example.com
"""


def write(folder, per_file):
    """Writes the policy in files of `per_file` documents; gives the number of files."""
    documents = [ENTRY.format(index) for index in range(ENTRIES)]
    step = ENTRIES // VIRTUAL_SERVICES
    documents += [VIRTUAL_SERVICE.format(index * step) for index in range(VIRTUAL_SERVICES)]
    (folder / "mesh.yaml").write_text(MESH)
    for number, first in enumerate(range(0, len(documents), per_file)):
        below = folder / f"{number // 500:03}"
        below.mkdir(exist_ok=True)
        (below / f"{number:05}.yaml").write_text("---\n".join(documents[first : first + per_file]))
    return number + 2


class Sidecar:
    """A running sidecar, seen from outside."""

    def __init__(self, binary, folder):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, "run", "--policy", folder, "--admin", ADMIN, "--explicit", "127.0.0.1:0", "--access-log", "/dev/null"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def get(self, path):
        with urllib.request.urlopen(f"http://{ADMIN}{path}", timeout=60) as answer:
            return answer.read()

    def wait(self):
        """Seconds until it is ready."""
        while True:
            try:
                self.get("/ready")
                return time.monotonic() - self.began
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("the sidecar ended before it was ready")
                time.sleep(0.005)

    def processor(self):
        """Seconds of processor time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, which):
        """MiB that are resident now (`VmRSS`) or were at most (`VmHWM`)."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(which))

    def change(self, file, text):
        """Seconds, and of these of processor time, until another text of a file holds."""
        before, cost = self.config()["hash"], self.processor()
        began = time.monotonic()
        aside = file.with_suffix(".new")
        aside.write_text(text)
        aside.rename(file)
        while self.config()["hash"] == before:
            time.sleep(0.002)
        return time.monotonic() - began, self.processor() - cost

    def config(self):
        return json.loads(self.get("/config"))


def measure(binary, per_file):
    """One row of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        files = write(folder, per_file)
        sidecar = Sidecar(binary, place)
        try:
            ready = sidecar.wait()
            loading = sidecar.processor()
            config = sidecar.config()
            assert (config["objects"], config["errors"]) == (ENTRIES + VIRTUAL_SERVICES + 1, []), config
            most, now = sidecar.memory("VmHWM"), sidecar.memory("VmRSS")
            file = sorted(folder.glob("*/*.yaml"))[3]
            text = file.read_text()
            changes = []
            for index in range(CHANGES):
                # Long enough that what the change before left to be done is done.
                time.sleep(1)
                changes.append(sidecar.change(file, text.replace("name: https", f"name: https-{index}", 1)))
            took, cost = sorted(changes)[len(changes) // 2]
            return (
                f"| {files:,} | {ready:.2f} s | {loading:.2f} s | {now} MiB | {most} MiB | {took * 1000:.0f} ms "
                f"| {cost * 1000:.0f} ms | {sidecar.memory('VmHWM')} MiB |"
            )
        finally:
            sidecar.process.terminate()
            sidecar.process.wait()


def processor_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main():
    binary, page = sys.argv[1:3]
    load = os.getloadavg()
    rows = [measure(binary, per_file) for per_file in (500, 6)]
    pathlib.Path(page).write_text(
        f"""# A policy of {ENTRIES + VIRTUAL_SERVICES:,} objects

Written by `make bench-size` on {time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}.

{ENTRIES:,} ServiceEntries, each of one host with HTTP and HTTPS, and {VIRTUAL_SERVICES:,} VirtualServices with a timeout, in a
folder that the sidecar (`egret-proxy run`) reads. "Ready" counts from its start until `/ready` answers. "A change" counts
from the rename of one file, in which one port has another name, until the policy with it is in force: the median of
{CHANGES}. Processor time is the sidecar's own, on all processors: where other programs run beside it, it tells more than
the clock.

| files | ready | processor time | resident then | at most | a change | processor time | at most after changes |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

- {processor_name()}, {os.cpu_count()} CPUs, Linux {os.uname().release}, the static program of the packages
- load average when it began: {" ".join(f"{value:.2f}" for value in load)}
"""
    )


if __name__ == "__main__":
    main()
