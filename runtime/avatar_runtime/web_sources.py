"""The JavaScript runtime and its page: where they are, and the one module that is made, not written."""

import base64
import hashlib
import json
from pathlib import Path


def web_sources() -> Path:
    """The folder with index.html, demo, src and sw.js of runtime/web: in an installed package, or beside it."""
    package = Path(__file__).parent
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "web"


def engine_wasm() -> Path:
    """The engine in C for browsers: avatar.wasm of runtime/native."""
    web = web_sources()
    installed = web / "avatar.wasm"
    return installed if installed.exists() else web.parent / "native" / "avatar.wasm"


def embedded_module(model: bytes) -> str:
    """The text of src/embedded.js. The one that runtime/web/prepare.js writes takes the model from a package of npm.

    It has the digest of the model file, which the page loads from model.onnx.
    """
    web = web_sources()
    engine = (web / "src" / "engine.js").read_text("utf-8").replace("export function", "function")
    constants = {
        "WASM": base64.b64encode(engine_wasm().read_bytes()).decode(),
        "WORKER": f"{engine}\nserveEngine(self);\n",
    }
    lines = [f"export const {name} = {json.dumps(value)};\n" for name, value in constants.items()]
    sha256 = hashlib.sha256(model).hexdigest()
    address = 'new URL("../model.onnx", import.meta.url)'
    return "".join([*lines, f'export const MODEL = {{ sha256: "{sha256}", url: {address} }};\n'])
