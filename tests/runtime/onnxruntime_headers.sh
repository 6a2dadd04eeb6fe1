#!/usr/bin/env bash
# onnxruntime's C and C++ headers, unpacked into a folder and never installed: Debian 13 (trixie) has them as
# libonnxruntime-dev, Debian 12 has not. Prints the folder that holds them. Needs apt and a Debian mirror, which is this
# machine's own; its sources and its state stay as they are.
#
#   bash tests/runtime/onnxruntime_headers.sh        keeps what it fetched in build/onnxruntime-headers
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/build/onnxruntime-headers
keys=/usr/share/keyrings/debian-archive-keyring.gpg

if [ ! -d "$here/include" ]; then
  command -v apt-get >/dev/null || { echo "no apt-get here, which fetches onnxruntime's headers" >&2; exit 1; }
  mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Identifier: Packages' | grep '/debian/*$' | head -1 || true)
  [ -n "$mirror" ] || { echo "apt knows no Debian mirror, which has onnxruntime's headers" >&2; exit 1; }
  mkdir -p "$here"/{lists/partial,cache/archives/partial}
  : >"$here/status"
  echo "deb [signed-by=$keys] $mirror trixie main" >"$here/sources.list"
  apt=(apt-get -qq -o Dir::State::Lists="$here/lists" -o Dir::State::status="$here/status" -o Dir::Cache="$here/cache"
    -o Dir::Etc::sourcelist="$here/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
  (
    cd "$here"
    rm -rf unpacked ./*.deb
    "${apt[@]}" -o APT::Update::Error-Mode=any update >&2
    "${apt[@]}" download libonnxruntime-dev >&2
    dpkg -x libonnxruntime-dev_*.deb unpacked
    mv "$(dirname "$(find unpacked -name onnxruntime_cxx_api.h)")" include
  )
fi
echo "$here/include"
