#!/bin/bash
# up.sh OUT [api]: brings the mesh up with the programs that build.sh put into OUT; with `api`, etcd and the API server
# alone, with Istio's CRDs. Two network namespaces: egret-node (the cluster) and egret-inet (the outside world, addresses
# 198.19.0.10 to 15: HTTP 80, HTTPS 443, TCP echo 27017). The host reaches the API at https://198.18.0.2:6443; nothing
# else crosses. What is left of a killed run is taken away first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$1" && pwd)
only=${2:-}
"$here/down.sh" "$out"
state=$out/state
mkdir -p "$state"/{log,run,etcd,kubelet/root,ctr/cni}
cd "$state"
PATH=$out/bin:$PATH
began=$(date +%s%N)

say() { printf '%6d ms  %s\n' $((($(date +%s%N) - began) / 1000000)) "$*"; }
inside() { nsenter --net=/run/netns/egret-node "$@"; }

# start NAME NAMESPACE COMMAND...: its number is kept, so that it can be stopped by it.
start() {
    local name=$1 namespace=$2
    shift 2
    setsid nohup nsenter --net="/run/netns/$namespace" "$@" >"log/$name.log" 2>&1 </dev/null &
    echo $! >"run/$name.pid"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local tries=$(($1 * 4)) what=$2
    shift 2
    for _ in $(seq $tries); do
        timeout 10 "$@" >/dev/null 2>&1 && return
        sleep 0.25
    done
    echo "timed out: $what; see $state/log" >&2
    exit 1
}

networks() {
    # Before containerd: `ip netns add` mounts /run/netns again, and a pod's namespace made earlier could not be removed.
    ip netns add egret-node
    ip netns add egret-inet
    ip link add eg-host type veth peer name eg0 netns egret-node
    ip addr add 198.18.0.1/30 dev eg-host
    ip link set eg-host up
    local node="ip -n egret-node" inet="ip -n egret-inet" last
    $node link set lo up
    $node addr add 198.18.0.2/30 dev eg0
    $node link set eg0 up
    $node link add eg1 type veth peer name eg0 netns egret-inet
    $node addr add 198.18.1.1/30 dev eg1
    $node link set eg1 up
    # Without a default route the API server could not reach cluster addresses: webhooks would fail.
    $node route add default via 198.18.1.2
    $node link add egr0 type bridge
    $node addr add 10.88.0.1/24 dev egr0
    $node link set egr0 up
    $inet link set lo up
    $inet addr add 198.18.1.2/30 dev eg0
    $inet link set eg0 up
    $inet route add default via 198.18.1.1
    for last in 10 11 12 13 14 15; do $inet addr add 198.19.0.$last/32 dev lo; done
    inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || true'
}

api_server() {
    start etcd egret-node etcd --data-dir "$state/etcd" --listen-client-urls http://127.0.0.1:2379 \
        --advertise-client-urls http://127.0.0.1:2379 --unsafe-no-fsync
    start apiserver egret-node kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 \
        --advertise-address=10.88.0.1 --secure-port=6443 --tls-cert-file=pki/apiserver.crt \
        --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt --token-auth-file=pki/tokens.csv \
        --authorization-mode=Node,RBAC --service-account-key-file=pki/sa.pub \
        --service-account-signing-key-file=pki/sa.key \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-cluster-ip-range=10.96.0.0/16 \
        --kubelet-client-certificate=pki/kubelet-client.crt --kubelet-client-key=pki/kubelet-client.key \
        --kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP,Hostname \
        --requestheader-client-ca-file=pki/ca.crt --requestheader-allowed-names=front-proxy-client \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- --allow-privileged=true --endpoint-reconciler-type=lease
    wait_for 60 "the API server" kubectl get --raw /readyz
    timeout 30 kubectl apply -f "$here/config/users.yaml" >/dev/null
    say "API server ready"
}

istio_crds() {
    # Of everything Istio installs, the definitions alone.
    python3 - "$out/istio.yaml" >run/crds.yaml <<'PYTHON'
import sys
documents = open(sys.argv[1]).read().split("\n---\n")
print("\n---\n".join(text for text in documents if "kind: CustomResourceDefinition" in text))
PYTHON
    timeout 60 kubectl apply --server-side -f run/crds.yaml >/dev/null
    timeout 60 kubectl wait --for=condition=Established crd --all >/dev/null
    timeout 10 kubectl create namespace istio-system >/dev/null
    say "Istio's resource definitions applied"
}

node() {
    local name program extra
    for name in kcm sched; do
        program=kube-scheduler extra=()
        [ $name = sched ] || program=kube-controller-manager extra=(--service-account-private-key-file=pki/sa.key
            --root-ca-file=pki/ca.crt --cluster-signing-cert-file=pki/ca.crt --cluster-signing-key-file=pki/ca.key
            --use-service-account-credentials=true)
        start $name egret-node $program --kubeconfig=pki/$name.kubeconfig --bind-address=127.0.0.1 \
            --authentication-kubeconfig=pki/$name.kubeconfig --authorization-kubeconfig=pki/$name.kubeconfig \
            --leader-elect=false ${extra[@]+"${extra[@]}"}
    done
    start kubelet egret-node kubelet --config=run/kubelet.yaml --kubeconfig=pki/kubelet.kubeconfig \
        --hostname-override=node1 --node-ip=10.88.0.1 --root-dir="$state/kubelet/root" --cert-dir="$state/pki"
    start proxy egret-node kube-proxy --kubeconfig=pki/admin.kubeconfig --proxy-mode=nftables --hostname-override=node1 \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s \
        --cluster-cidr=10.88.0.0/24 --healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249
    start coredns egret-node coredns -conf run/Corefile
}

load_images() {
    local name
    wait_for 20 containerd ctr -a ctr/containerd.sock version
    for name in pause pilot proxyv2 sleep; do
        timeout 60 ctr -a ctr/containerd.sock -n k8s.io images import "$out/images/$name.tar" >/dev/null
    done
}

mesh() {
    timeout 10 kubectl create namespace istio-system >/dev/null
    timeout 60 kubectl apply --server-side -f "$out/istio.yaml" >/dev/null
    wait "$loading"
    say "Istio applied, images loaded"
    wait_for 60 "the node" kubectl wait --for=condition=Ready node/node1 --timeout=1s
    say "node ready"
    timeout 120 kubectl -n istio-system rollout status deploy/istiod >/dev/null
    wait_for 60 "Istio's validation" sh -c 'kubectl get validatingwebhookconfiguration istio-validator-istio-system \
        -o jsonpath="{.webhooks[0].failurePolicy}" | grep -q Fail'
    default_validator | timeout 30 kubectl apply -f - >/dev/null
    say "istiod ready"
    timeout 10 kubectl label namespace default istio-injection=enabled --overwrite >/dev/null
    timeout 30 kubectl apply -f "$here/config/sleep.yaml" >/dev/null
    timeout 90 kubectl rollout status deploy/sleep >/dev/null
    say "sleep and its sidecar ready"
}

# `istioctl install` makes this webhook, `manifest generate` does not: without it only objects with a revision label are
# validated.
default_validator() {
    kubectl get validatingwebhookconfiguration istio-validator-istio-system -o json | python3 -c '
import json, sys
found = json.load(sys.stdin)
hook = found["webhooks"][0]
hook["name"] = "validation.istio.io"
hook["objectSelector"] = {"matchExpressions": [{"key": "istio.io/rev", "operator": "DoesNotExist"}]}
labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": "default"}
metadata = {"name": "istiod-default-validator", "labels": labels}
print(json.dumps({"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "webhooks": [hook]}))'
}

bash "$here/pki.sh" "$state/pki"
export KUBECONFIG=$state/pki/admin.kubeconfig
for file in containerd.toml kubelet.yaml Corefile; do sed "s#@DIR@#$state#g" "$here/config/$file" >"run/$file"; done
cp "$here/config/cni.conflist" ctr/cni/10-egret.conflist
networks
if [ "$only" = api ]; then
    api_server
    istio_crds
else
    (cd pki && exec setsid nohup nsenter --net=/run/netns/egret-inet python3 "$here/sites.py" >../log/inet.log 2>&1 </dev/null) &
    echo $! >run/inet.pid
    start containerd egret-node containerd -c run/containerd.toml
    load_images &
    loading=$!
    api_server
    node
    mesh
fi
echo "KUBECONFIG=$KUBECONFIG"
