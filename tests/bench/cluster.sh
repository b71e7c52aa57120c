#!/bin/bash
# cluster.sh LOG: makes the page of figures out of what `make bench-cluster` printed.
set -euo pipefail
table=$(grep '^|' "$1") || { echo "$1 holds no figures" >&2; exit 1; }
cat <<PAGE
# The app with a large cluster

Written by \`make bench-cluster\` on $(date -u '+%Y-%m-%d %H:%M UTC').

2,000 namespaces, 20,000 ServiceEntries, 500 Deployments and 5,000 pods with sidecars, in a real API server (etcd and
kube-apiserver, on the same machine). Times count from the click on the context. "A change is seen" counts from the API
server's answer to another client's patch to the event that tells the windows, over 40 changes. The objects are made by
another process, so that the memory is that of an app which shows them. "The API server alone" lists the same objects with the
same pages and throws them away: what is above that is the app's own time.

$table

- $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) CPUs, Linux $(uname -r), release build
- load average when the page was written: $(cut -d' ' -f1-3 /proc/loadavg)
PAGE
