#!/bin/bash
# log.sh LOG: makes the page of figures out of what `make bench-log` printed.
set -euo pipefail
table=$(grep '^|' "$1") || { echo "$1 holds no figures" >&2; exit 1; }
cat <<PAGE
# A flood of log lines

Written by \`make bench-log\` on $(date -u '+%Y-%m-%d %H:%M UTC').

A server of its own process, which does nothing but what an API server's \`pods/log\` does, gives the lines of five sidecars
at a fixed rate for 30 seconds. The app's own code follows them as it follows a cluster's: streams, marks, formats, the ring
of flows, the events to the windows, and the answers to a log window that filters by text and asks for a page of 200 rows ten
times a second, down to the text that the window is sent. What draws it (WebKit) and what gives the lines on a real cluster
(kubelet, API server) is not in these figures.

"Farthest behind" is the most that a row was older than the moment when the window asked for it. The ring keeps 1,000,000 flows;
what it pushes out is counted as dropped, and shown at the lower left of each log window. The bench fails where a line is
neither kept nor counted.

$table

- $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) CPUs, Linux $(uname -r), release build
- load average when the page was written: $(cut -d' ' -f1-3 /proc/loadavg)
PAGE
