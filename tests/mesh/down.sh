#!/bin/bash
# down.sh OUT: takes away what up.sh started, by process ids and containers, with its namespaces, mounts and state. Also
# right after a killed run, whose processes are gone while the rest is there.
set -u
[ -d "$1/state" ] || exit 0
state=$(cd "$1/state" && pwd)
cd "$state" || exit 0

# A number can be another process by now: ours works in this folder.
ours() { case "$(readlink "/proc/$1/cwd" 2>/dev/null)" in "$state" | "$state"/*) true ;; *) false ;; esac; }

# stop NAME...: asks them to end, and ends those that do not.
stop() {
    local name pid pids=()
    for name in "$@"; do
        pid=$(cat "run/$name.pid" 2>/dev/null) && ours "$pid" && kill "$pid" 2>/dev/null && pids+=("$pid")
    done
    for _ in $(seq 20); do
        for pid in ${pids[@]+"${pids[@]}"}; do kill -0 "$pid" 2>/dev/null && sleep 0.1 && continue 2; done
        return
    done
    for pid in ${pids[@]+"${pids[@]}"}; do kill -9 "$pid" 2>/dev/null; done
}

stop kubelet proxy coredns sched kcm apiserver
if [ -S ctr/containerd.sock ]; then
    for task in $(timeout 20 ctr -a ctr/containerd.sock -n k8s.io task ls -q 2>/dev/null); do
        timeout 10 ctr -a ctr/containerd.sock -n k8s.io task kill -s KILL "$task" 2>/dev/null
    done
    sleep 1
fi
stop etcd inet containerd
pgrep -f "containerd-shim.* -address $state/ctr/containerd.sock" | xargs -r kill 2>/dev/null
awk '{print $2}' /proc/mounts | grep "^$state/" | sort -r | while read -r mount; do umount -l "$mount"; done
for namespace in /run/netns/cni-*; do
    [ -e "$namespace" ] || continue
    ip netns pids "$(basename "$namespace")" 2>/dev/null | grep -q . && continue
    umount -l "$namespace" 2>/dev/null
    rm -f "$namespace"
done
for namespace in egret-inet egret-node; do ip netns del $namespace 2>/dev/null; done
ip link del eg-host 2>/dev/null
cd / && rm -rf "$state"
exit 0
