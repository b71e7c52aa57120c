#!/bin/bash
# down.sh OUT: takes away what up.sh, or a test run, brought up.
set -u
here=$(cd "$(dirname "$0")" && pwd)
for kind in mesh api; do
    [ -e /run/egret-$kind.pid ] || continue
    read -r guard _ </run/egret-$kind.pid || true
    # The number can be another process by now.
    [ -n "${guard:-}" ] && grep -qz guard.sh "/proc/$guard/cmdline" 2>/dev/null && kill "$guard"
    "$here/guard.sh" "$1" $kind clear
done
