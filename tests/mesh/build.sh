#!/bin/bash
# build.sh OUT [ENVOY | oracle | registry]: builds the programs of the test mesh from Go modules and packs its images, into
# OUT, a cache. ENVOY is the sidecar's binary; without it, only what the API server alone needs is built; with `oracle`, only
# what the engine is compared with; with `registry`, only a registry to push images to. What is there from these very sources
# is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"/{bin,images,stamps,stage}
out=$(cd "$1" && pwd)
envoy=${2:-}
kubernetes_version=v1.36.3

PATH=$PATH:/usr/local/go/bin:/usr/sbin
export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=readonly -modcacherw -trimpath -buildvcs=false"
# Of its own, so that taking the folder away takes everything away.
export GOCACHE=$out/go-build GOMODCACHE=$out/go-modules

# once WHAT INPUT...: runs the function WHAT unless it ran before, in its present form and with the same inputs.
once() {
    local what=$1 sum
    sum=$({ declare -f "$what"; cat "${@:2}"; } | sha256sum)
    [ "$(cat "$out/stamps/$what" 2>/dev/null)" != "$sum" ] || return 0
    echo "==> test mesh: $what"
    rm -f "$out/stamps/$what"
    "$what"
    echo "$sum" >"$out/stamps/$what"
}

# A cold build is silent for minutes; this tells how far it is.
build() {
    go build -v -ldflags "-s -w ${flags:-}" -o "$out/bin/" "$@" 2>&1 | awk '
        /^go: downloading/ { if (++fetched % 100 == 0) { print "    " fetched " modules fetched"; fflush() } next }
        !/[ :]/ { if (++compiled % 250 == 0) { print "    " compiled " packages compiled"; fflush() } next }
        { print }'
}

kubernetes() {
    local program version=k8s.io/component-base/version
    cd "$here/programs/kube"
    flags="-X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=36" build .
    for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        ln -sf kube "$out/bin/$program"
    done
}

dns() {
    cd "$here/programs/dns"
    build .
}

istio() {
    cd "$here/programs/istio"
    build istio.io/istio/{pilot/cmd/pilot-discovery,pilot/cmd/pilot-agent,istioctl/cmd/istioctl}
}

istio_files() {
    local source
    cd "$here/programs/istio"
    go mod download istio.io/istio
    source=$(go list -m -f '{{.Dir}}' istio.io/istio)
    install -m 644 "$source/manifests/charts/base/files/crd-all.gen.yaml" "$out/crds.yaml"
    install -m 644 "$source/tools/packaging/common/envoy_bootstrap.json" "$out/stage/envoy_bootstrap_tmpl.json"
}

# Istio's generator and validation as a program that is asked about policies: tests/fidelity.
oracle() {
    cd "$here/programs/istio"
    build ./oracle
}

# CNCF's distribution, with a token server: tests/mesh/registry.rs.
registry() {
    cd "$here/programs/registry"
    build .
}

# Upstream's Envoy has none of Istio's own filters: these settings keep istiod from sending them, and the provider that
# would is cut out.
istio_manifest() {
    local pilot=values.pilot proxy=values.global.proxy env=values.pilot.env.PILOT
    "$out/bin/istioctl" manifest generate --set profile=minimal --set hub=egret.test --set tag=1 \
        --set values.global.imagePullPolicy=IfNotPresent --set $pilot.autoscaleEnabled=false \
        --set $pilot.resources.requests.memory=128Mi --set $pilot.resources.requests.cpu=50m \
        --set $proxy.resources.requests.memory=64Mi --set $proxy.resources.requests.cpu=10m \
        --set meshConfig.accessLogFile=/dev/stdout --set meshConfig.outboundTrafficPolicy.mode=ALLOW_ANY \
        --set ${env}_ENABLE_METADATA_EXCHANGE=false --set ${env}_ENABLE_ALPN_FILTER=false \
        --set ${env}_ENABLE_TELEMETRY_LABEL=false --set ${env}_SKIP_VALIDATE_TRUST_DOMAIN=true |
        sed '/^    defaultProviders:$/,/^      - prometheus$/d' >"$out/istio.yaml"
}

# Unpacked rather than installed: Debian's containerd would start a service, and take the place of Docker's.
debian() {
    local packages=(containerd runc containernetworking-plugins busybox-static) package
    rm -rf "$out/debian"
    mkdir "$out/debian"
    cd "$out/debian"
    apt-get download -qq "${packages[@]}" 2>/dev/null || {
        $([ "$(id -u)" = 0 ] || echo sudo) apt-get update -qq
        apt-get download -qq "${packages[@]}"
    }
    for package in *.deb; do dpkg-deb -x "$package" .; done
    rm -- *.deb
}

images() {
    local link tables plugins box=("$out/debian/bin/busybox=/bin/busybox")
    local curl=(/usr/bin/curl=/usr/bin/curl /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt)
    local bootstrap=$out/stage/envoy_bootstrap_tmpl.json=/var/lib/istio/envoy/envoy_bootstrap_tmpl.json
    for link in sh sleep cat ls echo nc wget env id head tail grep ps true; do box+=("@/bin/busybox=/bin/$link"); done
    plugins=$(dpkg-query -L libxtables12 iptables | grep '/xtables$' | head -n 1)
    tables=("$plugins=$plugins" /usr/sbin/nft=/usr/sbin/nft /sbin/ip=/sbin/ip
        /usr/sbin/xtables-nft-multi=/usr/sbin/xtables-nft-multi
        /usr/sbin/xtables-legacy-multi=/usr/sbin/xtables-legacy-multi)
    for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        tables+=("@/usr/sbin/xtables-nft-multi=/usr/sbin/$link")
        tables+=("@/usr/sbin/xtables-nft-multi=/usr/sbin/${link/tables/tables-nft}")
        tables+=("@/usr/sbin/xtables-legacy-multi=/usr/sbin/${link/tables/tables-legacy}")
    done
    pack sleep '["/bin/sleep", "infinity"]' "${box[@]}" "${curl[@]}"
    # The API server refuses to start pilot from an image that does not name a user other than root.
    IMAGE_USER=1337:1337 pack pilot '["/usr/local/bin/pilot-discovery"]' \
        "$out/bin/pilot-discovery=/usr/local/bin/pilot-discovery" "$bootstrap" "${curl[@]}"
    pack proxyv2 '["/usr/local/bin/pilot-agent"]' "$out/bin/pilot-agent=/usr/local/bin/pilot-agent" \
        "$envoy=/usr/local/bin/envoy" "$bootstrap" "${box[@]}" "${curl[@]}" "${tables[@]}"
}

# pack NAME ENTRYPOINT FILE...
pack() { python3 "$here/image.py" "$out/images/$1.tar" "egret.test/$1:1" "${@:2}"; }

# Two at once would write the same files.
exec 9>"$out/build.lock"
flock 9
if [ "$envoy" = oracle ]; then
    once istio_files "$here"/programs/istio/go.*
    once oracle "$here"/programs/istio/go.* "$here"/programs/istio/oracle/*
    exit 0
fi
if [ "$envoy" = registry ]; then
    once registry "$here"/programs/registry/*
    exit 0
fi
once kubernetes "$here"/programs/kube/*
once istio_files "$here"/programs/istio/go.*
[ -n "$envoy" ] || exit 0
once istio "$here"/programs/istio/go.*
once istio_manifest "$out/stamps/istio"
once dns "$here"/programs/dns/*
once debian
once images "$here/image.py" "$out"/stamps/{istio,istio_files,debian} <(echo "$envoy")
