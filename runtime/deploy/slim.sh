#!/bin/sh
# Takes out of a virtual environment what only building and testing need: slim.sh FOLDER
set -eu
"$1"/bin/python -m pip uninstall --yes --quiet pip setuptools wheel 2>/dev/null || true
find "$1" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find "$1" -name '*.pyi' -delete
