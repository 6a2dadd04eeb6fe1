#!/bin/sh
# Takes out of a virtual environment what only building and testing need: slim.sh FOLDER
set -eu
"$1"/bin/python -m pip uninstall --yes --quiet pip setuptools wheel 2>/dev/null || true
cd "$1"/lib/python3*/site-packages
rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -name '*.pyi' -delete
