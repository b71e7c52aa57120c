#!/bin/bash
# up.sh OUT mesh|api: brings it up by hand, to stay until down.sh; prints the steps and, last, its KUBECONFIG.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 kind=$2
: >"$out/$kind.said"
setsid "$here/guard.sh" "$out" "$kind" stay >"$out/$kind.said" 2>&1 </dev/null &
guard=$!
# The end of the reader ends the follower, which is no failure.
tail -n +1 -f --pid=$guard "$out/$kind.said" | sed '/^KUBECONFIG=/q' || true
grep -q '^KUBECONFIG=' "$out/$kind.said"
