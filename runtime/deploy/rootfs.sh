#!/bin/sh
# The steps of the Dockerfile without Docker, as root on Debian: rootfs.sh FOLDER [PORT]
# Builds a root file system in FOLDER, says how large it is, and serves from it: read-only, without rights, in
# namespaces of its own.
set -eu
folder=$1
port=${2:-8000}
source=$(cd "$(dirname "$0")/../.." && pwd)

if [ ! -e "$folder/usr/bin/python3" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder"
fi
if [ ! -e "$folder/opt/avatar-edge/bin/avatar-serve" ]; then
  cp /etc/resolv.conf "$folder/etc/resolv.conf"
  mkdir -p "$folder/source"
  tar -C "$source" --exclude=training/pretrained --exclude=node_modules --exclude=__pycache__ -c \
    pyproject.toml README.md LICENSE runtime export training | tar -C "$folder/source" -x
  chroot "$folder" sh -euc '
    python3 -m venv /opt/avatar-edge
    /opt/avatar-edge/bin/pip install --no-cache-dir "/source[serve]"
    /source/runtime/deploy/slim.sh /opt/avatar-edge
    rm -rf /source /var/cache/apt /var/lib/apt/lists'
fi
du -smx --exclude=proc --exclude=sys "$folder" "$folder/opt/avatar-edge"

exec unshare --mount --pid --ipc --uts --fork sh -euc '
  mount --bind "$1" "$1"
  mount -o remount,ro,bind,nosuid "$1"
  mount -t proc proc "$1/proc"
  mount -t tmpfs -o nosuid,nodev,size=16m tmpfs "$1/tmp"
  exec chroot "$1" setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs \
    env AVATAR_HOST=127.0.0.1 AVATAR_PORT="$2" PYTHONDONTWRITEBYTECODE=1 /opt/avatar-edge/bin/avatar-serve \
    --workers 2' sh "$folder" "$port"
