#!/usr/bin/env bash
# Hostile model files: libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, half an hour by default. Needs
# clang and its sanitizers (Debian: clang libclang-rt-14-dev), and Python with this project's packages for corpus.py.
#
#   bash tests/native/fuzz/run.sh [SECONDS] [libFuzzer's options …]      works in build/fuzz; a finding stays there
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$root/build/fuzz
mkdir -p "$work/found"
${PYTHON:-python3} "$here/corpus.py" "$work/corpus"
checks=-fsanitize=fuzzer,address,undefined,float-divide-by-zero,float-cast-overflow
clang -std=c11 -O1 -g "$checks" -fno-sanitize-recover=all -I"$root/runtime/native" \
  "$root/runtime/native/avatar.c" "$here/target.c" -o "$work/fuzz"
cd "$work"
exec ./fuzz found corpus -max_total_time="${1:-1800}" -max_len=40000 -len_control=0 -timeout=20 -rss_limit_mb=1024 \
  -dict="$here/words.dict" "${@:2}"
