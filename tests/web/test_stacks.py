"""From npm pack's tarballs: alice in a production build of every stack, served under a sub-path, opened in browsers.

The projects are the folders of stacks/, as their readers would write them. Three need only what runtime/web installs;
all of them, and servers: `npm install --prefix tests/web/stacks && pytest -m stacks`.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from web.conftest import WEB, until
from web.engines import everywhere

HERE = Path(__file__).parent
STACKS = HERE / "stacks"
BASE = "/some/app"

VITE = f"vite build --base {BASE}/ --outDir out"
BUILDS = {  # what a developer types; index.html is copied for those that bundle scripts only
    "vite": VITE,
    "esbuild": "esbuild main.js --bundle --minify --format=esm --outfile=out/main.js --loader:.onnx=file "
    f"--public-path={BASE}",
    "none": "",
    "webpack": "webpack",
    "rollup": "rollup --config",
    "parcel": f"parcel build index.html --dist-dir out --public-url {BASE} --no-cache",
    "next": "next build",
    "next --webpack": "next build --webpack",
    "react-18": VITE,
    "react-19": VITE,
    "preact": VITE,
    "vue": VITE,
    "svelte": VITE,
}
DEFAULT = ("vite", "esbuild", "none")
SERVERS = {  # npx fetches them
    "Node 18": "node@18",
    "Node 20": "node@20",
    "Node 22": "node@22",
    "Deno": "deno@2 run --node-modules-dir=manual --allow-read",
}

PIXELS = """() => Array.from(document.querySelectorAll("avatar-face"), (face) => {
  const canvas = face.shadowRoot?.querySelector("canvas");
  return canvas ? Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data) : [];
})"""


def alice() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Python's, as a browser has it: uint8 RGBA [H, W, 4]."""
    image = AvatarGenerator.load().generate(["alice"])[0]
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


@pytest.fixture(scope="session")
def build(unpack: Callable[[Path], None]) -> Callable[[str], Path]:
    """Build a stack in a folder of stacks/build, where Node finds what stacks/ has installed; returns what to serve."""

    def build(stack: str) -> Path:
        project = STACKS / "build" / stack.replace(" ", "")
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(STACKS / stack.split()[0], project)
        shutil.copy(STACKS / "check.js", project)
        if not (project / "package.json").exists():
            (project / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        unpack(project)
        if not BUILDS[stack]:
            return project
        program, *arguments = BUILDS[stack].split()
        modules = WEB if stack in DEFAULT else STACKS
        path = modules / "node_modules" / ".bin" / program
        if not path.exists():
            pytest.skip(f"needs `npm install --prefix {modules.relative_to(HERE.parents[1])}`")
        done = subprocess.run([path, *arguments], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        if not (project / "out" / "index.html").exists():
            shutil.copy(project / "index.html", project / "out")
        return project / "out"

    return build


@everywhere
@pytest.mark.parametrize(
    "stack", [pytest.param(stack, marks=() if stack in DEFAULT else (pytest.mark.stacks,)) for stack in BUILDS]
)
def test_alice_is_on_the_page(stack: str, build: Callable[[str], Path], serve: Callable[..., str], page: Any) -> None:
    folder = build(stack)
    page.goto(f"{serve(folder, under=BASE)}/index.html")
    until(page, "window.alice !== undefined && window.loads !== undefined")
    assert page.evaluate("window.alice") == hashlib.sha256(alice().tobytes()).hexdigest()
    assert page.evaluate("window.loads") == 1
    until(page, f"({PIXELS})()[0].length > 0")
    assert page.evaluate(PIXELS)[0] == alice().ravel().tolist()


@pytest.mark.stacks
@pytest.mark.parametrize("server", SERVERS)
def test_alice_is_drawn_on_a_server(server: str, npm: str, unpack: Callable[[Path], None], tmp_path: Path) -> None:
    unpack(tmp_path)
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    shutil.copy(STACKS / "server.mjs", tmp_path)
    words = [npm, "exec", "--yes", "--", *SERVERS[server].split(), "server.mjs"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == hashlib.sha256(alice().tobytes()).hexdigest()


@pytest.mark.stacks
@pytest.mark.parametrize("command", ["publint", "@arethetypeswrong/cli --profile esm-only"])
def test_the_packages_are_sound(command: str, npm: str, tarballs: dict[str, Path]) -> None:
    for tarball in tarballs.values():
        words: list[str | Path] = [npm, "exec", "--yes", "--", *command.split(), tarball]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.stacks
def test_next_renders_a_sized_labelled_empty_box_on_the_server(build: Callable[[str], Path]) -> None:
    html = (build("next") / "index.html").read_text("utf-8")
    start = html.index("<avatar-face")
    box = html[start : html.index("</avatar-face>", start)]
    assert box.endswith(">")
    for part in ('name="alice"', 'role="img"', 'aria-label="Avatar of alice"', "inline-size:48px", "aspect-ratio:1"):
        assert part in box
