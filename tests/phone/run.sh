#!/usr/bin/env bash
# The runtime as ARM code, on any Linux machine with Debian's or another apt's packages and pip: an aarch64 userland is
# unpacked into a folder, never installed, and runs under qemu. Compares latents, golden images and 64 faces of each model
# file given (default: the embedded one) with those of this machine.
#
#   bash tests/phone/run.sh [MODEL …]        keeps what it fetched in build/aarch64
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/build/aarch64
models=("$@")
[ $# -gt 0 ] || models=("$root"/runtime/avatar_runtime/models/*.onnx)
mkdir -p "$here"/{apt/lists/partial,apt/cache/archives/partial,debs,userland/proc,site}

command -v qemu-aarch64-static >/dev/null || apt-get install -qqy qemu-user-static

if [ ! -e "$here/userland/usr/bin/python3" ]; then
  : >"$here/apt/status"
  apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists="$here/apt/lists"
    -o Dir::State::status="$here/apt/status" -o Dir::Cache="$here/apt/cache" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  (
    cd "$here/debs"
    needed=$("${apt[@]}" install --print-uris --no-install-recommends python3 libstdc++6 | grep -o "^'[^']*'" | tr -d "'")
    "${apt[@]}" download $(for uri in $needed; do basename "$uri" | cut -d_ -f1 | sed 's/%2b/+/g'; done | grep -vE '^(bash|dash|dpkg|debconf|perl|tar|media-types|tzdata)')
    for deb in *.deb; do dpkg -x "$deb" "$here/userland"; done
  )
  # onnxruntime asks /proc/cpuinfo what an ARM core it runs on, and fails at what qemu shows it: this machine's.
  printf 'processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd03\n' >"$here/userland/proc/cpuinfo"
fi

arm=(qemu-aarch64-static -L "$here/userland" "$here/userland/usr/bin/python3")
version=$("${arm[@]}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ ! -d "$here/site/onnxruntime" ]; then
  python3 -m pip install -q --target "$here/site" --python-version "$version" --only-binary :all: \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    "numpy<2.5" onnxruntime pillow
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export PYTHONPATH=$root/runtime
python3 "$root/tests/phone/draw.py" "$out/native.npz" "${models[@]}"
PYTHONPATH=$PYTHONPATH:$here/site OPENBLAS_CORETYPE=ARMV8 "${arm[@]}" "$root/tests/phone/draw.py" "$out/arm.npz" "${models[@]}"
python3 "$root/tests/phone/compare.py" "$out/native.npz" "$out/arm.npz"
