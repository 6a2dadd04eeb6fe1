#!/usr/bin/env bash
# Draws README's pictures anew with the model in the package: bash docs/pictures.sh
set -euo pipefail
cd "$(dirname "$0")"

avatar-gen --count 64 --seed readme --out grid.jpg
avatar-gen --count 6 --seed circles --columns 6 --circle --size 96 --out circles.png
avatar-gen --interpolate bob carol --frames 10 --size 96 --out morph.gif
tr ' ' '\n' << EOF | avatar-gen --names-file - --columns 16 --out names.jpg
Alice Bob Carol David Emma Felix Grace Henry Iris Jack Kate Liam Mia Noah Olivia Paul
Quinn Rosa Sam Tina Uma Victor Wendy Xavier Yuki Zoe Aiko Akira Hana Haruto Kenji Mei
Naoko Ren Sakura Sora Takumi Yuna Ahmed Fatima Layla Omar Priya Raj Ananya Chen Li Wei
Jin Minh Lan Ivan Olga Dmitri Elena Pierre Marie Hans Greta Lars Ingrid Pablo Lucia Kofi
EOF
python - << 'EOF'
from pathlib import Path

import numpy as np

from avatar_runtime import AvatarGenerator
from avatar_runtime.pixels import encode, grid, write_file

generator = AvatarGenerator.load()
walks = [generator.interpolate(a, b, 10) for a, b in (("alice", "bob"), ("carol", "dave"), ("erin", "frank"))]
write_file(Path("interpolation.jpg"), encode(grid(np.concatenate(walks), columns=10), ".jpg"))
EOF
