"""The documents' blocks of HTML and JavaScript draw a face: pages in Chromium, modules in Node."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from code_blocks import Block, parameters, to_run
from web.conftest import rgb, until

IMPORTS = """<script type="importmap">{ "imports": {
  "avatar-runtime-web": "/node_modules/avatar-runtime-web/src/index.js",
  "avatar-runtime-web/element": "/node_modules/avatar-runtime-web/src/element.js",
  "avatar-runtime-web-model": "/node_modules/avatar-runtime-web-model/index.js"
} }</script>"""
ELEMENT = '<avatar-face name="alice" size="96"></avatar-face>'

BLOCKS = to_run("html", "js")
PAGES = [block for block in BLOCKS if block.language == "html" or "document" in block.code or "/element" in block.code]


@pytest.fixture
def folder(unpack: Callable[[Path], None], tmp_path: Path) -> Path:
    """A folder with the packages in node_modules."""
    unpack(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", parameters(PAGES))
def test_a_page_shows_a_face(block: Block, folder: Path, page: Any, serve: Callable[..., str]) -> None:
    body = block.code if block.language == "html" else ELEMENT
    script = block.code if block.language == "js" else 'import "avatar-runtime-web/element";'
    complete = "<script" in block.code
    html = body if complete else f'{IMPORTS}{body}<script type="module">{script}</script>'
    (folder / "index.html").write_text(f'<!doctype html><html lang="en"><body>{html}</body></html>')
    page.goto(f"{serve(folder)}/index.html")
    until(page, "document.querySelector('avatar-face')?.complete || document.querySelector('body > canvas')")


@pytest.mark.parametrize("block", parameters([block for block in BLOCKS if block not in PAGES]))
def test_a_module_runs_in_node(block: Block, folder: Path, node: str) -> None:
    (folder / "block.mjs").write_text(block.code)
    subprocess.run([node, "block.mjs"], cwd=folder, check=True, timeout=60)
    if "alice.rgba" in block.code:
        drawn = rgb((folder / "alice.rgba").read_bytes())
        np.testing.assert_array_equal(drawn, AvatarGenerator.load().generate(["alice"])[0])
