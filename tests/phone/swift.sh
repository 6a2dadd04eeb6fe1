#!/usr/bin/env bash
# runtime/phone/Avatar.swift with the engine: its latents against the fixture that Python and JavaScript share, and 64
# faces against Python's. Needs swiftc; or root and a Debian mirror: then Debian 13's compiler (540 MB) is unpacked into
# build/swift, never installed, and runs there. And gcc, and Python with this project's packages.
#
# CryptoKit is for Apple's systems: tests/phone/apple stands in for it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
model=$(PYTHONPATH=$root/runtime "$python" -c 'from avatar_runtime.generator import embedded_model; print(embedded_model())')
here=$root/build/swift
into="" inside=()

if ! command -v swiftc >/dev/null; then
  into=$here/userland
  if [ ! -e "$here/complete" ]; then
    mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Identifier: Packages' | grep '/debian/*$' | head -1 || true)
    [ -n "$mirror" ] || { echo "needs swiftc, or a Debian mirror that has it" >&2; exit 1; }
    mkdir -p "$here"/{lists/partial,cache/archives/partial,debs} "$into"/{proc,dev,tmp,usr/{bin,sbin,lib,lib64}}
    for folder in bin sbin lib lib64; do ln -sfn "usr/$folder" "$into/$folder"; done
    : >"$here/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$here/sources.list"
    apt=(apt-get -qq -o Dir::State::Lists="$here/lists" -o Dir::State::status="$here/status" -o Dir::Cache="$here/cache"
      -o Dir::Etc::sourcelist="$here/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
    (
      cd "$here/debs"
      "${apt[@]}" -o APT::Update::Error-Mode=any update
      needed=$("${apt[@]}" install --print-uris --no-install-recommends swiftlang libc6-dev libstdc++-14-dev | grep -o "^'[^']*'" | tr -d "'")
      "${apt[@]}" download $(for uri in $needed; do basename "$uri" | cut -d_ -f1 | sed 's/%2b/+/g'; done)
      for deb in *.deb; do dpkg -x "$deb" "$into"; done
    )
    rm -r "$here/debs"
    touch "$here/complete"
  fi
  # In a mount namespace of its own, so that nothing is left mounted.
  inside=(env PATH=/usr/sbin:/usr/bin LD_LIBRARY_PATH=/usr/libexec/swift/lib/swift/linux unshare --mount bash -euc
    'mount --rbind /proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" "$@"' "$into")
fi

out=$(mktemp -d -p "$into/tmp")
trap 'rm -rf "$out"' EXIT
cp "$root"/runtime/phone/{Avatar.swift,Avatar-Bridging-Header.h} "$root"/runtime/native/avatar.{c,h} "$root"/tests/phone/apple/*.swift "$model" "$out"
there=${out#"$into"} # as it is called inside
gcc -std=c11 -O2 -c "$out/avatar.c" -o "$out/avatar.o"
"${inside[@]}" swiftc -O -parse-as-library -emit-module -emit-library -static -module-name CryptoKit \
  "$there/CryptoKit.swift" -emit-module-path "$there/CryptoKit.swiftmodule" -o "$there/libCryptoKit.a"
"${inside[@]}" swiftc -O -I "$there" -L "$there" -import-objc-header "$there/Avatar-Bridging-Header.h" \
  "$there"/{main,Avatar}.swift "$there/avatar.o" -lCryptoKit -o "$there/avatars"
"$python" "$root/tests/phone/names.py" >"$out/names"
"${inside[@]}" "$there/avatars" <"$out/names"
PYTHONPATH=$root/runtime "$python" "$root/tests/phone/faces.py" "$model" 64 >"$out/faces"
"${inside[@]}" "$there/avatars" "$there/$(basename "$model")" <"$out/faces"
