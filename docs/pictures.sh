#!/usr/bin/env bash
# Draw the pictures of README and docs again with the model in the package: bash docs/pictures.sh
set -euo pipefail
cd "$(dirname "$0")"

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
from avatar_runtime.imaging.arrays import grid
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.atomic import write_file

generator = AvatarGenerator.load()
walks = [generator.interpolate(a, b, 10) for a, b in (("alice", "bob"), ("carol", "dave"), ("erin", "frank"))]
write_file(Path("interpolation.jpg"), encode(grid(np.concatenate(walks), columns=10), ".jpg"))
EOF
