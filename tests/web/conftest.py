"""What the tests of runtime/web need: Node with the package's dependencies, and a Chromium."""

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar_runtime.serve.app import POLICY

WEB = Path(__file__).parents[2] / "runtime" / "web"


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with onnxruntime-web installed in runtime/web, and the embedded model as it is now beside it."""
    program = shutil.which("node")
    if program is None or not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs Node 20 and `npm install --prefix runtime/web`")
    subprocess.run([program, str(WEB / "copy-model.js")], check=True)  # npm copied it when it installed, maybe long ago
    return program


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012  # the base class declares it so
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of runtime/web on this machine, under avatar-serve's Content-Security-Policy."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(WEB)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
