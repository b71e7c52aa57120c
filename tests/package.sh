#!/bin/bash
# package.sh BUNDLES PROXY IMAGE: what the packages below BUNDLES hold, and as whose. Their sidecar is PROXY, which needs no library, so that the
# app can make an image of it: the very one that IMAGE is.
set -euo pipefail
bundles=$1 proxy=$2 image=$3
packages=$(find "$bundles" -name '*.deb' -o -name '*.rpm')
[ -n "$packages" ] || { echo "no package is below $bundles" >&2; exit 1; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

fails() { echo "$package: $*" >&2; exit 1; }

for package in $packages; do
    root=$place/${package##*.}
    mkdir "$root"
    # What it installs, as MODE OWNER NAME.
    case $package in
    *.deb) dpkg-deb -x "$package" "$root"
        listed=$(dpkg-deb --fsys-tarfile "$package" | tar -tv --numeric-owner | awk '{print $1, $2, $NF}') ;;
    *.rpm) command -v rpm2archive >/dev/null || { echo "$package: not looked into, since rpm is not here"; continue; }
        rpm2archive - <"$package" | tar -xz -C "$root"
        listed=$(rpm -qp --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]' "$package") ;;
    esac
    [ -n "$listed" ] || fails "it installs nothing"
    others=$(grep -vE '^(-rw[x-]r-[x-]r-[x-]|drwxr-xr-x) (root/root|0/0) ' <<<"$listed" || true)
    [ -z "$others" ] || fails "not root's alone to change: $others"
    for program in egret egret-proxy; do
        [ -x "$root/usr/bin/$program" ] || fails "no program $program"
    done
    cmp "$root/usr/bin/egret-proxy" "$proxy" || fails "its egret-proxy is not the static one"
    # A program that is linked to libraries names the loader that finds them.
    ! readelf --program-headers "$root/usr/bin/egret-proxy" | grep -q INTERP || fails "its egret-proxy is linked to libraries"
    "$root/usr/bin/egret-proxy" image --output "$place/image.tar" >/dev/null
    cmp "$place/image.tar" "$image" || fails "its sidecar makes another image"
    [ -d "$root/usr/lib/Egret/playground" ] || fails "no example"
    "$root/usr/bin/egret-proxy" check "$root/usr/lib/Egret/playground" >/dev/null || fails "its example is not clean"
    echo "$package: $(du -h "$package" | cut -f1), its egret-proxy is static, its image is $image"
done
