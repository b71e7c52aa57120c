#!/bin/bash
# down.sh OUT: takes away what up.sh, or a test run, brought up.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$1" 2>/dev/null || exit 0
for kind in mesh api; do
    pid=$(cat "$kind.pid" 2>/dev/null) || continue
    # The number can be another process by now.
    grep -qz guard.sh "/proc/$pid/cmdline" 2>/dev/null && kill "$pid"
    "$here/guard.sh" "$PWD" "$kind" clear
done
