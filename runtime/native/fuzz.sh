#!/usr/bin/env bash
# Hostile model files: libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, half an hour by default. Needs
# clang and its sanitizers (Debian: clang libclang-rt-14-dev), and Python with this project's packages for the corpus,
# which fuzz_corpus.py makes.
#
#   bash runtime/native/fuzz.sh [SECONDS] [libFuzzer's options …]      works in build/fuzz; a finding stays there
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$here/../.." && pwd)/build/fuzz
mkdir -p "$work/found"
${PYTHON:-python3} "$here/fuzz_corpus.py" "$work/corpus"
checks=-fsanitize=fuzzer,address,undefined,float-divide-by-zero,float-cast-overflow
clang -std=c11 -O1 -g "$checks" -fno-sanitize-recover=all ${FUZZ_FLAGS:-} "$here/avatar.c" "$here/fuzz.c" -o "$work/fuzz"
cd "$work"
exec ./fuzz found corpus -max_total_time="${1:-1800}" -max_len=40000 -len_control=0 -timeout=20 -rss_limit_mb=1024 -dict="$here/fuzz.dict" "${@:2}"
