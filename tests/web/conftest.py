"""What the tests of runtime/web need: Node with the package's dependencies, a Chromium, and servers of folders."""

import functools
import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar_runtime.serve.service import POLICY

WEB = Path(__file__).parents[2] / "runtime" / "web"


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with what runtime/web installs, and src/embedded.js and the model beside it as they are now."""
    program = shutil.which("node")
    if program is None or not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs Node 18 and `npm install --prefix runtime/web`")
    subprocess.run([program, str(WEB / "prepare.js")], check=True)
    return program


@pytest.fixture(scope="session")
def tarball(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm would publish it."""
    folder = tmp_path_factory.mktemp("pack")
    npm = shutil.which("npm")
    assert npm is not None, "it comes with Node"
    subprocess.run([npm, "pack", "--silent", "--pack-destination", folder], cwd=WEB, capture_output=True, check=True)
    (tarball,) = folder.glob("*.tgz")
    return tarball


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012  # the base class declares it so
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *args: Any, under: str, policy: str, **kwargs: Any) -> None:
        self.under = under
        self.policy = policy
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(self.under) if path.startswith(self.under) else "/missing")

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # asked for by the browser itself
            self.send_response(204)
            self.end_headers()
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
    """serve(folder, under="/path", policy="…"): the address of a folder, on a server of its own."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(folder: Path, under: str = "", policy: str = "") -> str:
        handler = functools.partial(_Handler, directory=str(folder), under=under, policy=policy)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}{under}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def site(node: str, serve: Callable[..., str]) -> str:
    """The address of runtime/web on this machine, under avatar-serve's Content-Security-Policy."""
    return serve(WEB, policy=POLICY)


@pytest.fixture(scope="module")  # playwright runs an event loop until then
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium, for example from Debian's package chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--js-flags=--expose-gc"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page whose console must stay free of errors."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a JavaScript condition; Playwright's own way needs eval, which the policy forbids."""

    def until(page: Any, condition: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not page.evaluate(condition):
            assert time.monotonic() < end, f"{condition}; {page.complaints}"
            time.sleep(0.05)

    return until
