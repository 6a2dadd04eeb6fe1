#!/usr/bin/env bash
# Draw the pictures of README and docs again with the model in the package: bash docs/pictures.sh
set -euo pipefail
cd "$(dirname "$0")"

avatar-gen --name avatar-edge --circle --size 64 --out favicon.png
avatar-gen --count 6 --seed circles --columns 6 --circle --size 96 --out circles.png
avatar-gen --interpolate bob carol --frames 10 --size 96 --out morph.gif
tr ' ' '\n' << EOF | avatar-gen --names-file - --columns 16 --size 64 --out names.jpg
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
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.atomic import write_file

generator, portrait = AvatarGenerator.load(), Portrait(size=88)
walks = [generator.interpolate(a, b, 10) for a, b in (("alice", "bob"), ("carol", "dave"), ("erin", "frank"))]
write_file(Path("interpolation.jpg"), encode(grid(portrait.show(np.concatenate(walks)), columns=10), ".jpg"))
names = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"]
rows = [generator.generate(names, truncation=truncation) for truncation in (0.6, 0.7, 0.8, 0.9, 1)]
write_file(Path("truncation.jpg"), encode(grid(portrait.show(np.concatenate(rows)), columns=8), ".jpg"))
EOF
python - << 'EOF_PAGE'
# The demo page; needs the extras serve and dev, and Chromium.
import re
import shutil
import subprocess

from playwright.sync_api import sync_playwright

with subprocess.Popen(["avatar-serve", "--port", "0"], stderr=subprocess.PIPE, text=True) as server:
    address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        page.goto(address)
        page.wait_for_timeout(10_000)  # the faces of the wall are drawn
        page.screenshot(path="page.jpg", type="jpeg", quality=80)
    server.terminate()
EOF_PAGE
