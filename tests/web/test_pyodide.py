"""docs/packaging.md on Pyodide: its two blocks of code, in Node, draw Python's face: `pytest -m packaging`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from code_blocks import ROOT, blocks
from web.conftest import rgb

SHOW = "\nimport json\nprint(json.dumps(pixels.hex()))\nawait generator.close()\n"


@pytest.mark.packaging
def test_python_in_a_page_draws_with_the_package_for_browsers(
    node: str, npm: str, unpack: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "package.json").write_text("{}")
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "pyodide"], cwd=tmp_path, check=True)
    unpack(tmp_path)
    script, python = (b.code for b in blocks(ROOT / "docs/packaging.md") if b.language in ("js", "python"))
    (tmp_path / "draw.mjs").write_text(f"const code = {json.dumps(python + SHOW)};\n{script}")
    drawn = subprocess.run([node, "draw.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    pixels = bytes.fromhex(json.loads(drawn.stdout.splitlines()[-1]))
    np.testing.assert_array_equal(rgb(pixels), AvatarGenerator.load().generate(["alice"])[0])
