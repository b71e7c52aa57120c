#!/bin/bash
# rollout.sh LOG: makes the page of figures out of what `make bench-rollout` printed.
set -euo pipefail
table=$(grep '^|' "$1") || { echo "$1 holds no figures" >&2; exit 1; }
cat <<PAGE
# What the sidecar adds to a rollout

Written by \`make bench-rollout\` on $(date -u '+%Y-%m-%d %H:%M UTC').

A Deployment of one pod, and the same with the sidecar as the app puts it there, observing in the workload, on the test mesh
(a real kubelet and containerd, the images on the node). From \`kubectl rollout restart\` until \`kubectl rollout status\` says
that it is rolled out, in turns.

| rollout | median | least to most |
| --- | --- | --- |
$table

- $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) CPUs, Linux $(uname -r)
- load average when the page was written: $(cut -d' ' -f1-3 /proc/loadavg)
PAGE
