#!/bin/bash
# run.sh OUT COMMAND...: runs COMMAND where `kind` and `k3d` find a cluster `egret` of one node, whose name is in
# EGRET_KIND_NODE. The node is a container with Debian's containerd in it and their labels on it: all that they need to load an
# image, and nothing that has to be fetched from a registry. Docker's engine runs in namespaces of its own, and ends with this.
# OUT is a cache, for what is built of Go modules and unpacked of Debian's packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"/{bin,stage}
out=$(cd "$1" && pwd)
shift
kind_version=v0.33.0 k3d_version=v5.8.3
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)

tools() {
    local source
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-modcacherw -trimpath -buildvcs=false"
    export GOCACHE=$out/go-build GOMODCACHE=$out/go-modules PATH=$PATH:/usr/local/go/bin
    [ -x "$out/bin/kind" ] || GOBIN=$out/bin go install sigs.k8s.io/kind@$kind_version
    [ ! -x "$out/bin/k3d" ] || return 0
    # Not by `go install`, which asks the proxy for a list of versions that it may not have.
    go mod download github.com/k3d-io/k3d/v5@$k3d_version
    source=$out/stage/k3d
    rm -rf "$source"
    cp -r "$GOMODCACHE/github.com/k3d-io/k3d/v5@$k3d_version" "$source"
    chmod -R u+w "$source"
    (cd "$source" && rm -rf vendor && go build -mod=mod -o "$out/bin/k3d" .)
}

# Unpacked rather than installed: Debian's docker.io would start a service.
debian() {
    local program
    [ ! -e "$out/node/etc" ] || return 0
    rm -rf "$out"/{debian,node}
    mkdir -p "$out"/{debian,node/{bin,usr/bin,lib64,lib/x86_64-linux-gnu,tmp,run,var}}
    cd "$out/debian"
    apt-get download -qq docker.io containerd runc libdevmapper1.02.1 libseccomp2 busybox-static 2>/dev/null
    for program in *.deb; do dpkg-deb -x "$program" .; done
    rm -- *.deb
    cp usr/bin/{containerd,ctr,containerd-shim-runc-v2} usr/sbin/runc bin/busybox ../node/usr/bin/
    ln -s ../usr/bin/busybox ../node/bin/sh
    cp -L usr/lib/x86_64-linux-gnu/libseccomp.so.2 /lib/x86_64-linux-gnu/libc.so.6 ../node/lib/x86_64-linux-gnu/
    cp -L /lib64/ld-linux-x86-64.so.2 ../node/lib64/
    mkdir -p ../node/etc/containerd
    echo 'version = 2' >../node/etc/containerd/config.toml
    cd "$out"
}

# wait_for WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + 60))
    until timeout 10 "${@:2}" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { tail -n 5 "$out/engine.log" >&2; echo "waited in vain for $1" >&2; exit 1; }
        sleep 0.2
    done
}

world=
down() {
    # The kernel ends the whole of it with its first process.
    [ -z "$world" ] || "${root[@]}" kill -9 "$world" 2>/dev/null || true
    wait 2>/dev/null || true
    # What was killed leaves its groups a moment later.
    for _ in $(seq 50); do
        [ -n "$(find /sys/fs/cgroup -type d -name egret-kind)" ] || break
        "${root[@]}" find /sys/fs/cgroup -depth -type d -path '*/egret-kind*' -exec rmdir {} + 2>/dev/null || sleep 0.2
    done
    "${root[@]}" rm -rf "$out/engine" 2>/dev/null || true
}

exec 9>"$out/lock"
flock 9
tools
(debian)
down
trap down EXIT
trap 'exit 143' TERM INT HUP
mkdir "$out/engine"
export DOCKER_HOST=unix://$out/engine/docker.sock PATH=$out/bin:$out/debian/usr/bin:$PATH
"${root[@]}" setpriv --pdeathsig KILL unshare --mount --pid --net --fork --kill-child --mount-proc \
    "$here/engine.sh" "$out" "$(id -gn)" 9>&- </dev/null >"$out/engine.log" 2>&1 &
world=$!
wait_for "Docker's engine" docker version
tar -C "$out/node" -c . | docker import - egret.test/node:1 >/dev/null
export EGRET_KIND_NODE=k3d-egret-server-0
docker run --detach --privileged --network none --name $EGRET_KIND_NODE --volume /var --tmpfs /run --tmpfs /tmp \
    --label io.x-k8s.kind.cluster=egret --label io.x-k8s.kind.role=control-plane \
    --label app=k3d --label k3d.cluster=egret --label k3d.role=server --env CONTAINERD_NAMESPACE=k8s.io \
    egret.test/node:1 /usr/bin/containerd >/dev/null
wait_for "the node's containerd" docker exec $EGRET_KIND_NODE ctr version
cd "$here"
"$@"
