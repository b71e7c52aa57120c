#!/bin/bash
# inside.sh OUT mesh|api: the first process in the namespaces of guard.sh; brings up what OUT has the programs for. Two
# network namespaces: `node` (the cluster) and, for the mesh, `inet` (the world outside: every address that the cluster has
# not is one of its sites, see sites.py). The machine reaches the API server over a link of its own, and nothing else crosses.
# Later it takes commands, one a line: `kill apiserver`, `start apiserver`, `compact VERSION` (of etcd's history).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 kind=$2
state=$out/$kind
declare -A links=([mesh]=198.18.0.1 [api]=198.18.0.5) addresses=([mesh]=198.18.0.2 [api]=198.18.0.6)
link=${links[$kind]} address=${addresses[$kind]}
PATH=$out/bin:$out/debian/usr/bin:$out/debian/usr/sbin:$PATH:/usr/sbin:/sbin
began=$(date +%s%N)
declare -A processes
mkdir -p "$state"/{log,run,etcd,kubelet,cni,cni-dual}
cd "$state"

say() { printf '%6d ms  %s\n' $((($(date +%s%N) - began) / 1000000)) "$*"; }

# start NAME NAMESPACE COMMAND...
# nsenter rather than `ip netns exec`, which gives each process mounts of its own: containerd would not see the volumes
# that the kubelet mounts.
start() {
    nsenter --net="/run/netns/$2" "${@:3}" >>"log/$1.log" 2>&1 &
    processes[$1]=$!
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    until timeout 10 "${@:3}" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { tail -n 5 log/*.log >&2; echo "waited $1 s in vain for $2; see $state/log" >&2; exit 1; }
        sleep 0.2
    done
}

# What these programs write into the machine's folders stays in here, and ends with it.
mounts() {
    local folder wanted
    mkdir -p /var/lib/{cni,kubelet}
    for folder in /run /var/log /var/lib/cni /var/lib/kubelet; do mount -t tmpfs tmpfs $folder; done
    # The kubelet sets these for the whole machine, unless they are as it wants them. So it is shown what it wants.
    for wanted in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        mkdir -p "run/sys/${wanted%/*}"
        echo "${wanted#*=}" >"run/sys/${wanted%=*}"
        mount --bind "run/sys/${wanted%=*}" "/proc/sys/${wanted%=*}"
    done
}

networks() {
    # All before containerd starts: `ip netns add` mounts /run/netns again, and a pod's namespace made earlier could not
    # be removed.
    ip netns add node
    ip link add "eg-$kind" type veth peer name eg0 netns node
    ip addr add "$link/30" dev "eg-$kind"
    ip link set "eg-$kind" up
    ip -n node link set lo up
    ip -n node addr add "$address/30" dev eg0
    ip -n node link set eg0 up
    [ "$kind" = mesh ] || return 0
    ip netns add inet
    ip -n node link add eg1 type veth peer name eg0 netns inet
    ip -n node addr add 198.18.1.1/30 dev eg1
    ip -n node link set eg1 up
    # Without a default route the API server could not reach cluster addresses: webhooks would fail.
    ip -n node route add default via 198.18.1.2
    ip -n node link add egr0 type bridge
    ip -n node addr add 10.88.0.1/24 dev egr0
    ip -n node link set egr0 up
    ip -n inet link set lo up
    ip -n inet addr add 198.18.1.2/30 dev eg0
    ip -n inet link set eg0 up
    ip -n inet route add 10.88.0.0/24 via 198.18.1.1
    # Every other address is one of the sites, so that whatever leaves the cluster arrives.
    ip -n inet route add local default dev lo
    # Over IPv6, which only pods of the RuntimeClass `dual` have, the addresses of documentation are (RFC 3849).
    ip -n node addr add fd00:1::1/64 dev eg1 nodad
    ip -n inet addr add fd00:1::2/64 dev eg0 nodad
    ip -n node route add default via fd00:1::2
    ip -n inet route add fd00:88::/64 via fd00:1::1
    ip -n inet route add local 2001:db8::/32 dev lo
    # From pod to service to pod on one bridge: without the second, replies would not find back.
    nsenter --net=/run/netns/node sh -ec 'echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
}

etcd() {
    start etcd node etcd --data-dir=etcd --listen-client-urls=http://127.0.0.1:2379 \
        --advertise-client-urls=http://127.0.0.1:2379 --unsafe-no-fsync
}

apiserver() {
    # Who logs in at the issuer, where it is up, is `oidc:` and their name here, and so are their groups.
    local oidc=()
    [ "$kind" = mesh ] || oidc=(--oidc-issuer-url="https://$address:8443" --oidc-client-id=egret --oidc-ca-file=pki/ca.crt
        --oidc-username-prefix=oidc: --oidc-groups-claim=groups --oidc-groups-prefix=oidc:)
    # One authority signs for clients and for the front proxy, so the latter must be named.
    start apiserver node kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 \
        --advertise-address="$advertised" --secure-port=6443 --tls-cert-file=pki/apiserver.crt \
        --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt --token-auth-file=pki/tokens.csv \
        --authorization-mode=Node,RBAC --service-account-key-file=pki/sa.pub \
        --service-account-signing-key-file=pki/sa.key \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-cluster-ip-range=10.96.0.0/16 \
        --kubelet-client-certificate=pki/kubelet-client.crt --kubelet-client-key=pki/kubelet-client.key \
        --kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP,Hostname \
        --requestheader-client-ca-file=pki/ca.crt --requestheader-allowed-names=front-proxy-client \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- --allow-privileged=true --endpoint-reconciler-type=lease \
        "${oidc[@]}"
}

compact() {
    nsenter --net=/run/netns/node curl --silent --max-time 10 --data "{\"revision\": \"$1\"}" \
        http://127.0.0.1:2379/v3/kv/compaction >>log/etcd.log 2>&1 || true
}

api() {
    etcd
    apiserver
    wait_for 60 "the API server" kubectl get --raw /readyz
    say "API server ready"
    timeout 60 kubectl create --validate=false -f "$here/config/users.yaml" >/dev/null
}

# Of Istio, as much as an API server alone can have.
definitions() {
    timeout 60 kubectl create --validate=false -f "$out/crds.yaml" >/dev/null
    timeout 60 kubectl wait --for=condition=Established crd --all >/dev/null
    say "Istio's resource definitions applied"
}

node() {
    start controllers node kube-controller-manager --kubeconfig=pki/controllers.kubeconfig --bind-address=127.0.0.1 \
        --authentication-kubeconfig=pki/controllers.kubeconfig --authorization-kubeconfig=pki/controllers.kubeconfig \
        --leader-elect=false --service-account-private-key-file=pki/sa.key --root-ca-file=pki/ca.crt \
        --cluster-signing-cert-file=pki/ca.crt --cluster-signing-key-file=pki/ca.key --use-service-account-credentials=true
    start scheduler node kube-scheduler --kubeconfig=pki/scheduler.kubeconfig --bind-address=127.0.0.1 \
        --authentication-kubeconfig=pki/scheduler.kubeconfig --authorization-kubeconfig=pki/scheduler.kubeconfig \
        --leader-elect=false
    start kubelet node kubelet --config=run/kubelet.yaml --kubeconfig=pki/kubelet.kubeconfig --hostname-override=node1 \
        --node-ip=10.88.0.1 --root-dir="$state/kubelet" --cert-dir="$state/pki"
    # Zeros leave the machine's connection tracking as it is.
    start proxy node kube-proxy --kubeconfig=pki/admin.kubeconfig --proxy-mode=nftables --hostname-override=node1 \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s \
        --cluster-cidr=10.88.0.0/24 --healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249
    start dns node dns -conf run/Corefile
}

load_images() {
    local name
    wait_for 30 containerd ctr -a containerd.sock version
    for name in sleep pilot proxyv2; do
        timeout 60 ctr -a containerd.sock -n k8s.io images import "$out/images/$name.tar" >/dev/null
    done
}

mesh() {
    timeout 60 kubectl apply --server-side -f "$out/istio.yaml" >/dev/null
    wait "$loading"
    say "Istio applied, images loaded"
    wait_for 60 "the node" kubectl wait --for=condition=Ready node/node1 --timeout=5s
    say "node ready"
    timeout 120 kubectl -n istio-system rollout status deploy/istiod >/dev/null
    wait_for 60 "Istio's validation" kubectl wait validatingwebhookconfiguration/istio-validator-istio-system \
        --for='jsonpath={.webhooks[0].failurePolicy}=Fail' --timeout=5s
    default_validator | timeout 30 kubectl apply -f - >/dev/null
    say "istiod ready"
    timeout 10 kubectl label namespace default istio-injection=enabled --overwrite >/dev/null
    timeout 30 kubectl apply -f "$here/config/dual.yaml" -f "$here/config/sleep.yaml" >/dev/null
    timeout 120 kubectl rollout status deploy/sleep >/dev/null
    say "sleep and its sidecar ready"
}

# `istioctl install` makes this webhook and `manifest generate` does not: without it only objects with a revision label
# are validated.
default_validator() {
    timeout 10 kubectl get validatingwebhookconfiguration istio-validator-istio-system -o json | python3 -c '
import json, sys
found = json.load(sys.stdin)
hook = found["webhooks"][0]
hook["name"] = "validation.istio.io"
hook["objectSelector"] = {"matchExpressions": [{"key": "istio.io/rev", "operator": "DoesNotExist"}]}
labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": "default"}
metadata = {"name": "istiod-default-validator", "labels": labels}
print(json.dumps({"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "webhooks": [hook]}))'
}

mounts
bash "$here/pki.sh" pki "$address"
# Under sudo, the kubeconfigs are for the user who asked.
[ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-0}" pki/{admin,viewer,editor}.kubeconfig
export KUBECONFIG=$state/pki/admin.kubeconfig KUBECACHEDIR=$state/run/kubectl
for file in containerd.toml kubelet.yaml Corefile; do
    sed "s#@DIR@#$state#g; s#@OUT@#$out#g" "$here/config/$file" >"run/$file"
done
for network in cni cni-dual; do cp "$here/config/$network.conflist" "$network/10-egret.conflist"; done
networks
if [ "$kind" = api ]; then
    advertised=$address
    start issuer node python3 "$here/issuer.py" pki "$address"
    api
    definitions
else
    advertised=10.88.0.1
    # Debian's own, which has the h2 of its package.
    start sites inet /usr/bin/python3 "$here/sites.py" pki
    start containerd node containerd -c run/containerd.toml
    load_images &
    loading=$!
    api
    node
    mesh
fi
echo "KUBECONFIG=$KUBECONFIG"
while read -r verb program; do
    case $verb in
    kill) kill -9 "${processes[$program]}" ;;
    start) $program ;;
    compact) compact "$program" ;;
    esac
done <>commands
