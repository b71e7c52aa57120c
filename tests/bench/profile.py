#!/usr/bin/env python3
"""Has a sidecar that counts what it runs do what sidecars do: `make proxy-image TUNED=1` runs this, and gives the counts to
the compiler. What no run shows is built for little room instead of for speed, so each kind of traffic that `make bench`
measures has its part, and beside it HTTP/2, what is blocked, and a policy of many objects.

    profile.py EGRET_PROXY NGINX FOLDER_FOR_COUNTS
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import bench
from manifests import ENTRY

SECONDS, ENTRIES = 2, 2_000


def call(*arguments):
    """What becomes of it is of no matter: some of it is blocked."""
    subprocess.run(["curl", "-sk", "-m", "5", "-o", "/dev/null", *arguments], check=False)


def serve(pid):
    bench.check_answers()
    for what in bench.LOADS:
        bench.load("egret", pid, what, SECONDS)
    site = f"http://{bench.host('egret')}"
    for _ in range(20):
        call("--http2-prior-knowledge", f"{site}/[1-50]")
        call("-d", "x" * 4_000, f"{site}/[1-20]")
        call("-H", "Host: unknown.test", f"{site}/[1-20]")
        call("--connect-to", f"unknown.test:443:{bench.host('egret')}:443", "https://unknown.test/")


def main():
    program, nginx, counts = sys.argv[1:4]
    os.environ["LLVM_PROFILE_FILE"] = f"{counts}/%p.profraw"
    bench.enter_namespace()
    del bench.SUBJECTS["envoy"]
    with tempfile.TemporaryDirectory(prefix="egret-profile-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        bench.prepare_network(directory)
        processes = bench.Processes(directory)
        try:
            bench.start_site(processes, nginx)
            pid = bench.start_egret(processes, program)
            serve(pid)
            # A policy of many objects, that is read while requests come.
            more = "---\n".join(ENTRY.format(index) for index in range(ENTRIES))
            (directory / "policy" / "more.yaml").write_text(more)
            time.sleep(2)
            bench.load("egret", pid, next(iter(bench.LOADS)), SECONDS)
        finally:
            processes.stop()


if __name__ == "__main__":
    main()
