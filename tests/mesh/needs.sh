#!/bin/bash
# needs.sh OUT oracle|registry|build|api|mesh: says in one line what this machine lacks to build Istio's own code for the
# fidelity check, a registry, or the test mesh, or to run its API server or the whole of it; exit code 1. Silent where nothing is missing.
set -u
out=$1 purpose=$2

lacks() { echo "the test mesh needs $*"; exit 1; }
has_go() {
    version=$(PATH=$PATH:/usr/local/go/bin GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)
    [ "$(printf '%s\n' go1.26 "${version:-go0}" | sort -V | head -n 1)" = go1.26 ] ||
        lacks "Go 1.26 or newer, ${version:+not $version, }in PATH or /usr/local/go/bin: https://go.dev/dl"
}

if [ "$purpose" = oracle ] || [ "$purpose" = registry ]; then
    [ -e "$out/stamps/$purpose" ] || has_go
    exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || lacks "Linux on x86_64: its images are made for that"
command -v dpkg-deb >/dev/null || lacks "Debian or Ubuntu: it takes containerd and runc from their packages"
if [ "$(id -u)" = 0 ]; then
    root=()
else
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; } || lacks "root, or sudo that does not ask for a password"
    root=(sudo -n)
fi
[ "$purpose" != mesh ] || /usr/bin/python3 -c 'import h2' 2>/dev/null || lacks "HTTP/2 for its sites: apt-get install python3-h2"
declare -A last=([build]=images [api]=istio_files [mesh]=images)
if [ ! -e "$out/stamps/${last[$purpose]}" ]; then
    [ "$purpose" = build ] || lacks "its programs, which are not built yet: make mesh-build"
    has_go
fi

[ -d /proc/sys/net/bridge ] || "${root[@]}" modprobe -q br_netfilter || lacks "the kernel module br_netfilter"
grep -q overlay /proc/filesystems || "${root[@]}" modprobe -q overlay || lacks "the kernel module overlay"
PATH=$PATH:/usr/sbin
# Where these are missing they are about to be installed.
if command -v ip >/dev/null && command -v nft >/dev/null; then
    trial='ip link add end1 type veth peer name end2 && ip link add br1 type bridge && nft add table ip t &&
        nft "add chain ip t c { type nat hook output priority 0; }" && mount -t tmpfs tmpfs /run'
    said=$("${root[@]}" timeout 20 unshare --net --mount --pid --fork sh -ec "$trial" 2>&1) ||
        lacks "namespaces, veth, bridges and nftables: ${said%%$'\n'*}"
fi
