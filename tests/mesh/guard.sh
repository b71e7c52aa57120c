#!/bin/bash
# guard.sh OUT mesh|api [stay|clear]: brings the mesh, or etcd and the API server alone, up and keeps it until standard
# input ends, a signal comes, or it is killed; with `stay`, until a signal comes. Then nothing is left of it. What it reads
# is for inside.sh, which says what it understands. With `clear` it only removes what a killed guard left.
#
# All of it lives in a process namespace and a mount namespace of its own. The kernel ends the whole of it with its first
# process, however that ends: every program, container, mount and network namespace. The end of standard input is what a
# test process leaves behind even when it is killed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$1" && pwd)
kind=$2 manner=${3:-}
state=$out/$kind
cd "$out"

# One at a time on this machine, since addresses and link are always the same. The file says which guard has it, and how.
# A test run comes to its end; what somebody brought up by hand does not.
mine=/run/egret-$kind.pid
exec 9<>"$mine"
read -r holder how <&9 || true
[ "${how:-}" = stay ] && patience=10 || patience=300
flock -w "$patience" 9 || {
    echo "the test ${kind/api/API server} is up already (process $holder): make mesh-down takes it away" >&2
    exit 1
}

# `unshare`, the first process of the namespace as it is called out here, and the reader of our input.
world='' first='' watch=''

remove() {
    local container
    trap '' TERM INT HUP
    if [ -n "$world" ]; then
        kill -9 "$world" 2>/dev/null || true
        { wait "$world"; } 2>/dev/null || true
        # The kernel ends the first process after everything else in its namespace.
        for _ in $(seq 400); do
            grep -qs '^State:.[^Z]' "/proc/$first/status" || break
            sleep 0.05
        done
    fi
    [ -z "$watch" ] || kill "$watch" 2>/dev/null || true
    ip link del "eg-$kind" 2>/dev/null || true
    # The kernel keeps what lies in file systems of its own, and where something was mounted.
    for container in "$state"/state/io.containerd.runtime.v2.task/k8s.io/*; do
        rmdir /sys/fs/cgroup/{,*/}k8s.io/"${container##*/}" 2>/dev/null || true
    done
    rmdir /sys/fs/cgroup/{,*/}k8s.io /var/lib/{cni,kubelet} 2>/dev/null || true
    # The logs stay until the next time.
    find "$state" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} + 2>/dev/null || true
    : >"$mine"
}

# What a killed one left: files and perhaps the link, since nothing that runs outlives its guard.
remove
[ "$manner" != clear ] || exit 0
rm -rf "$state"
mkdir -p "$state"
echo "$$ $manner" >"$mine"
trap remove EXIT
trap 'exit 143' TERM INT HUP

mkfifo "$state/commands"
if [ "$manner" != stay ]; then
    exec 3<&0
    # To and fro, so that opening does not wait for the other side.
    cat <&3 1<>"$state/commands" 9>&- &
    watch=$!
    exec 3<&-
fi
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
    "$here/inside.sh" "$out" "$kind" 9>&- </dev/null &
world=$!
until first=$(pgrep -P $world) || [ ! -e /proc/$world ]; do sleep 0.02; done
wait -n $world ${watch:+$watch} 2>/dev/null
