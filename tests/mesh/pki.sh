#!/bin/bash
# pki.sh FOLDER ADDRESS: keys, certificates and kubeconfigs of a test mesh whose API server answers at ADDRESS, and a
# certificate for the outside sites. Users: admin by certificate; viewer and editor by token, with the rights that
# config/users.yaml gives them.
set -euo pipefail
mkdir -p "$1"
cd "$1"
address=$2

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# authority NAME COMMON_NAME
authority() {
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 3650 -out "$1.crt" \
        -addext "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"
}

# issue NAME COMMON_NAME ORGANISATION ALTERNATIVE_NAMES AUTHORITY
issue() {
    key "$1"
    openssl req -new -key "$1.key" -subj "${3:+/O=$3}/CN=$2" -out "$1.csr"
    printf '%s\n' basicConstraints=CA:FALSE keyUsage=digitalSignature,keyEncipherment \
        extendedKeyUsage=serverAuth,clientAuth ${4:+"subjectAltName=$4"} >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$5.crt" -CAkey "$5.key" -CAcreateserial -days 3650 -out "$1.crt" \
        -extfile "$1.ext" 2>/dev/null
}

# config USER CREDENTIALS
config() {
    cat >"$1.kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
clusters:
- name: egret-mesh
  cluster:
    server: https://$address:6443
    certificate-authority-data: $(base64 -w0 ca.crt)
users:
- name: $1
  user: {$2}
contexts:
- name: egret-mesh
  context: {cluster: egret-mesh, user: $1}
current-context: egret-mesh
CONFIG
}

authority ca egret-mesh
authority sites-ca "test sites"
issue apiserver kube-apiserver "" \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.88.0.1,IP:$address" ca
issue admin kubernetes-admin system:masters "" ca
issue controllers system:kube-controller-manager "" "" ca
issue scheduler system:kube-scheduler "" "" ca
issue kubelet system:node:node1 system:nodes "DNS:node1,IP:127.0.0.1,IP:10.88.0.1" ca
issue kubelet-client apiserver-kubelet-client system:masters "" ca
issue sites sites "" \
    "DNS:httpbin.org,DNS:*.httpbin.org,DNS:www.google.com,DNS:edition.cnn.com,DNS:mongo.example.com,DNS:*.example.com,DNS:a.com,DNS:*.a.com" sites-ca
# Callers show it too, and their sidecars run as whoever.
chmod a+r sites.key
openssl genrsa -out sa.key 2048 2>/dev/null
openssl genrsa -out oidc.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
printf 'viewer-token,viewer,1001\neditor-token,editor,1002\n' >tokens.csv
for user in admin controllers scheduler kubelet; do
    config $user "client-certificate-data: $(base64 -w0 $user.crt), client-key-data: $(base64 -w0 $user.key)"
done
for user in viewer editor; do config $user "token: $user-token"; done
