#!/usr/bin/env bash
# Makes avatar.wasm, which git has, for `pip install .` must not need a compiler. Needs Debian's clang and lld; the bytes
# depend on clang's version: that of Debian 12, 14.0.6, made those in git.
#
#   bash runtime/native/build.sh [OUT]
set -euo pipefail
cd "$(dirname "$0")"
exports=(avatar_latent_dim avatar_height avatar_width avatar_channels avatar_draw avatar_error_text)
clang --target=wasm32 -std=c11 -O3 -ffreestanding -ffp-contract=off -msimd128 -mbulk-memory -mnontrapping-fptoint \
  -nostdlib -Wall -Wextra -Werror avatar.c wasm.c -Wl,--no-entry -Wl,--strip-all -Wl,--compress-relocations -Wl,-O2 -Wl,-z,stack-size=262144 \
  "${exports[@]/#/-Wl,--export=}" -o "${1:-avatar.wasm}"
