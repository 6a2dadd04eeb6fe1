"""What the tests of runtime/web need: Node with the package's dependencies, browsers, and servers of folders."""

import functools
import http.server
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.serve.service import POLICY
from avatar_runtime.web_sources import embedded_module
from web import engines

WEB = Path(__file__).parents[2] / "runtime" / "web"


def rgb(rgba: bytes) -> UInt8:
    """A square picture as a browser has it: uint8 [H, W, 3]; every pixel is opaque."""
    side = math.isqrt(len(rgba) // 4)
    pixels = np.frombuffer(rgba, np.uint8).reshape(side, side, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with what runtime/web installs, and what prepare.js makes as it is now."""
    program = shutil.which("node")
    if program is None or not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs Node 18 and `npm install --prefix runtime/web`")
    subprocess.run([program, str(WEB / "prepare.js")], check=True)
    return program


@pytest.fixture(scope="session")
def npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which comes with Node")
    return npm


@pytest.fixture(scope="session")
def tarballs(node: str, npm: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package and its model's, as npm would publish them."""
    folder = tmp_path_factory.mktemp("pack")
    for package in (".", "./model"):
        pack = [npm, "pack", package, "--silent", "--pack-destination", folder]
        subprocess.run(pack, cwd=WEB, capture_output=True, check=True)
    model, code = sorted(folder.glob("*.tgz"), key=lambda path: "model" not in path.name)
    return {"avatar-runtime-web": code, "avatar-runtime-web-model": model}


@pytest.fixture(scope="session")
def unpack(tarballs: dict[str, Path]) -> Callable[[Path], None]:
    """unpack(project) puts both packages into a folder's node_modules."""

    def unpack(project: Path) -> None:
        for name, tarball in tarballs.items():
            folder = project / "node_modules" / name
            folder.mkdir(parents=True)
            subprocess.run(["tar", "xzf", tarball, "--strip-components=1", "-C", folder], check=True)

    return unpack


def until(page: Any, condition: str) -> None:
    """Wait for a JavaScript condition; Playwright's own way needs eval, which the policy forbids."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}; {page.complaints}"
        time.sleep(0.05)


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012  # the base class declares it so
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *args: Any, under: str, policy: str, made: dict[str, bytes], **kwargs: Any) -> None:
        self.under = under
        self.policy = policy
        self.made = made
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(self.under) if path.startswith(self.under) else "/missing")

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # asked for by the browser itself
            self.send_response(204)
            self.end_headers()
        elif content := self.made.get(self.path):
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            super().do_GET()

    def end_headers(self) -> None:
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """serve(folder, under="/path", policy="…", made={path: content}): the address of a folder, on its own server."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(folder: Path, under: str = "", policy: str = "", made: dict[str, bytes] | None = None) -> str:
        handler = functools.partial(_Handler, directory=str(folder), under=under, policy=policy, made=made or {})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}{under}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def serve_web(node: str, serve: Callable[..., str]) -> Callable[[str], str]:
    """serve_web(policy): the address of runtime/web, with the model where avatar-serve has it."""
    model = embedded_model().read_bytes()
    made = {"/model.onnx": model, "/src/embedded.js": embedded_module(model).encode()}
    return lambda policy: serve(WEB, policy=policy, made=made)


@pytest.fixture(scope="session")
def site(serve_web: Callable[[str], str]) -> str:
    """The address of runtime/web under avatar-serve's Content-Security-Policy."""
    return serve_web(POLICY)


@pytest.fixture(scope="module")  # playwright runs an event loop until then
def chromium() -> Iterator[Callable[[], AbstractContextManager[Any]]]:
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium, for example from Debian's package chromium")

    @contextmanager
    def new_page() -> Iterator[Any]:
        context = browser.new_context(viewport={"width": 1000, "height": 800})
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        context.close()

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--js-flags=--expose-gc"])
        yield new_page
        browser.close()


@pytest.fixture(scope="session")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.NewPage]:
    with engines.firefox(tmp_path_factory.mktemp("profile")) as new_page:
        yield new_page


@pytest.fixture(scope="session")
def webkitgtk() -> Iterator[engines.NewPage]:
    with engines.webkitgtk() as new_page:
        yield new_page


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """Which browser `page` is in; web.engines.everywhere takes it through all of them."""
    return getattr(request, "param", "chromium")


@pytest.fixture
def page(engine: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page whose console must stay free of errors."""
    with request.getfixturevalue(engine)() as page:
        yield page
        assert page.complaints == []
