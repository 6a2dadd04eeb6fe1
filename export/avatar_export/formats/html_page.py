"""The demo page as one HTML file that opens from disk, with no server and no network.

The sources of runtime/web are ES modules, and a page on disk may not import modules. So they are put one after another,
in the order of their imports, without the words import and export. onnxruntime-web's module is a data URL in the page;
its WebAssembly, 14 MB, and the model are compressed, and the browser inflates them. The worker is a classic one, since
Chromium refuses module workers for a page on disk.
"""

import base64
import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatar_export.exporter import Export, export_model
from avatar_export.formats.scratch import scratch_folder
from avatar_runtime.errors import InputError
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.model_file.reading import read_model
from avatar_runtime.output.atomic import write_file
from avatar_runtime.session import metadata, open_session
from avatar_runtime.web_sources import web_sources

ORT_MODULE, ORT_WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
"""The files of onnxruntime-web's folder dist that a page needs."""

_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(\./[^"]+|\.\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|class|function|async)", re.MULTILINE)

_START = """
const inflated = (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
};
const source = document.getElementById("worker").textContent;
await start(URL.createObjectURL(await (await inflated("model")).blob()), {
  ort: document.getElementById("ort").textContent,
  wasm: await (await inflated("wasm")).arrayBuffer(),
  worker: () => new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" }))),
});
"""


def export_page(checkpoint_path: Path, path: Path, *, ort: Path | None = None, **options: Any) -> Export:
    """Export a generator in int8, validate it, and write the page with it.

    options are those of `export_model`, without precision and output_dtype. Raises what it and `write_page` raise.
    """
    _ort_files(ort)  # fails now, not after the minute that an export takes
    with scratch_folder() as folder:
        export = export_model(checkpoint_path, folder / f"{path.stem}.onnx", precision="int8", **options)
        return replace(export, path=path, size=write_page(export.path, path, ort))


def write_page(model_path: Path, path: Path, ort: Path | None = None) -> int:
    """Write the demo page with a model file in it, whole or not at all.

    Args:
        model_path: The model file.
        path: The page.
        ort: The folder of onnxruntime-web's files; by default node_modules/onnxruntime-web/dist, here or above.

    Returns:
        The page's size in bytes.

    Raises:
        InputError: ort is not there.
        ModelFileError: The model is not one of avatar-edge.
        OutputError: The page cannot be written.
    """
    data = read_model(model_path)
    ModelSpec.from_metadata(metadata(open_session(data)))
    module, wasm = _ort_files(ort)
    web = web_sources()
    embedded = {
        "ort": ("text/plain", f"data:text/javascript;base64,{_base64(module)}"),
        "wasm": ("text/plain", _base64(gzip.compress(wasm, mtime=0))),
        "model": ("text/plain", _base64(gzip.compress(data, mtime=0))),
        "worker": ("text/plain", bundle(web / "src" / "worker.js")),
    }
    scripts = [f'<script type="{kind}" id="{name}">{_inline(text)}</script>' for name, (kind, text) in embedded.items()]
    scripts.append(f'<script type="module">\n{_inline(bundle(web / "demo" / "demo.js") + _START)}</script>')
    page = (web / "demo" / "index.html").read_text("utf-8")
    style = (web / "demo" / "demo.css").read_text("utf-8")
    page = _replace(r'<link rel="stylesheet".*>', f"<style>\n{style}</style>", page)
    page = _replace(r"<script type=.*</script>\n", "", page)
    page = _replace(r"</body>", "\n".join((*scripts, "</body>")), page)
    write_file(path, page.encode())
    return len(page.encode())


def bundle(entry: Path) -> str:
    """An ES module and everything it imports as one script: each file once, imported files first."""
    done: list[Path] = []
    parts: list[str] = []

    def add(path: Path) -> None:
        if path in done:
            return
        done.append(path)
        text = path.read_text("utf-8")
        for address in _IMPORT.findall(text):
            add((path.parent / address).resolve())
        parts.append(_EXPORT.sub("", _IMPORT.sub("", text)))

    add(entry.resolve())
    return "\n".join(parts)


def _ort_files(folder: Path | None) -> tuple[bytes, bytes]:
    """onnxruntime-web's module and its WebAssembly."""
    folder = folder or _installed_ort()
    try:
        return (folder / ORT_MODULE).read_bytes(), (folder / ORT_WASM).read_bytes()
    except OSError as err:
        raise InputError(f"{folder} is no dist folder of onnxruntime-web: {err.filename} cannot be read") from err


def _installed_ort() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (found := folder / "node_modules" / "onnxruntime-web" / "dist").is_dir():
            return found
    raise InputError(
        "onnxruntime-web is not installed here: run `npm install onnxruntime-web`, or name its folder dist with --ort"
    )


def _inline(script: str) -> str:
    """A script whose text cannot end its element: \\x3C is < in JavaScript's strings, templates and patterns."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", script, flags=re.IGNORECASE)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _replace(pattern: str, replacement: str, page: str) -> str:
    page, count = re.subn(pattern, lambda match: replacement, page)
    if count != 1:
        raise InputError(f"runtime/web/demo/index.html has {count} places like {pattern}; one is needed")
    return page
