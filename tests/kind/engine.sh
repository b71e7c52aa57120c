#!/bin/bash
# engine.sh OUT GROUP: Docker's engine, as the first process in the namespaces of run.sh. Its socket is for GROUP.
set -euo pipefail
out=$1
PATH=$out/debian/usr/bin:$out/debian/usr/sbin:$PATH:/usr/sbin:/sbin
export LD_LIBRARY_PATH=$out/debian/lib/x86_64-linux-gnu:$out/debian/usr/lib/x86_64-linux-gnu
mount -t tmpfs tmpfs /run
ip link set lo up

# A privileged container asks for every capability there is, and starts only where all are to be had. In a container, such as
# that of a CI machine, this one often is not.
cat >"$out/engine/runc" <<'END'
#!/bin/sh
last='' file=''
for word in "$@"; do
    case $last in --bundle) file=$word/config.json ;; --process) file=$word ;; esac
    last=$word
done
[ -z "$file" ] || sed -i 's/"CAP_SYS_RESOURCE",\{0,1\}//g' "$file"
exec runc "$@"
END
chmod +x "$out/engine/runc"
# No network and no rules of a firewall: what is loaded goes over the socket.
exec dockerd --host "unix://$out/engine/docker.sock" --group "$2" --data-root "$out/engine/data" \
    --exec-root "$out/engine/exec" --pidfile "$out/engine/pid" --bridge=none --iptables=false --ip6tables=false \
    --cgroup-parent=/egret-kind --storage-driver=overlay2 --add-runtime "egret=$out/engine/runc" --default-runtime egret
