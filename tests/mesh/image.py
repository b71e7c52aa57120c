"""Packs files of this machine into an OCI image archive, without a container engine.

image.py OUT.tar REFERENCE ENTRYPOINT_JSON SOURCE=TARGET...

@TARGET=LINK makes a symbolic link. Programs bring the shared libraries they need along. IMAGE_USER names the user.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

FOLDERS = ["/tmp", "/etc", "/dev", "/proc", "/sys", "/var/run", "/var/lib"]
TEXTS = {
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nistio-proxy:x:1337:1337::/home:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "/etc/group": "root:x:0:\nistio-proxy:x:1337:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}


def libraries(program):
    """Shared libraries as (where they are, where the loader looks for them)."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        path = line.split("=>")[-1].split("(")[0].strip()
        if path.startswith("/") and os.path.exists(path):
            yield os.path.realpath(path), path


def collect(pairs):
    """Files by their target, and links by their name."""
    files, links = {}, {}

    def add(source, target):
        if target not in files:
            files[target] = source
            for library, name in libraries(source):
                add(library, name)

    for source, target in pairs:
        if source.startswith("@"):
            links[target] = source[1:]
        elif os.path.isdir(source):
            for folder, _, names in os.walk(source):
                for name in names:
                    path = os.path.join(folder, name)
                    add(os.path.realpath(path), target + path[len(source) :])
        else:
            add(os.path.realpath(source), target)
    return files, links


def layer(files, links):
    """One tar of everything, the same bytes for the same files."""
    buffer = io.BytesIO()
    archive = tarfile.open(fileobj=buffer, mode="w")
    made = set()

    def entry(path, kind, mode=0o755):
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode = kind, mode
        return info

    def folder(path):
        if path not in ("", "/") and path not in made:
            folder(os.path.dirname(path))
            made.add(path)
            archive.addfile(entry(path, tarfile.DIRTYPE, 0o1777 if path == "/tmp" else 0o755))

    for path in FOLDERS:
        folder(path)
    for target, source in sorted(files.items()):
        folder(os.path.dirname(target))
        info = entry(target, tarfile.REGTYPE, os.stat(source).st_mode & 0o777)
        info.size = os.path.getsize(source)
        with open(source, "rb") as content:
            archive.addfile(info, content)
    for target, link in sorted(links.items()):
        folder(os.path.dirname(target))
        info = entry(target, tarfile.SYMTYPE)
        info.linkname = link
        archive.addfile(info)
    for target, text in TEXTS.items():
        info = entry(target, tarfile.REGTYPE, 0o644)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    archive.close()
    return buffer.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def main():
    out, reference, entrypoint = sys.argv[1:4]
    files, links = collect([pair.split("=", 1) for pair in sys.argv[4:]])
    raw = layer(files, links)
    packed = gzip.compress(raw, 1, mtime=0)
    blobs = {}

    def blob(kind, content):
        blobs[digest(content)] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(content), "size": len(content)}

    def document(value):
        return json.dumps(value).encode()

    path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    run = {"User": os.environ.get("IMAGE_USER", ""), "Entrypoint": json.loads(entrypoint), "Env": [path]}
    root = {"type": "layers", "diff_ids": [digest(raw)]}
    config = blob("config.v1+json", document({"architecture": "amd64", "os": "linux", "config": run, "rootfs": root}))
    layers = [blob("layer.v1.tar+gzip", packed)]
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = document({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers})
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference.split(":")[-1]}
    index = {"schemaVersion": 2, "manifests": [{**blob("manifest.v1+json", manifest), "annotations": names}]}
    with tarfile.open(out, "w") as archive:
        contents = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": document(index)}
        contents |= {"blobs/" + name.replace(":", "/"): content for name, content in blobs.items()}
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    print(f"{reference}: {len(files)} files, {len(packed) // 1024} KiB")


main()
