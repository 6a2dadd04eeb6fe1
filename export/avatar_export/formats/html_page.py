"""The web page as one HTML file that opens from disk, with no server and no network.

The sources of runtime/web are ES modules, and a page on disk may not import modules. So they are put one after another,
in the order of their imports, without the words import and export. The model is compressed; the browser inflates it.
"""

import base64
import gzip
import re
from dataclasses import replace
from pathlib import Path

from avatar_export.exporter import DEFAULTS, Export, Options, export_model
from avatar_export.formats.scratch import scratch_folder
from avatar_runtime.errors import InputError
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.model_file.reading import read_model
from avatar_runtime.output.atomic import write_file
from avatar_runtime.session import metadata, open_session
from avatar_runtime.web_sources import embedded_module, web_sources

_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(\./[^"]+|\.\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|class|function|async)", re.MULTILINE)

_START = """
const packed = Uint8Array.from(atob(document.getElementById("model").textContent), (c) => c.charCodeAt(0));
await start({ model: new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))) });
"""


def export_page(checkpoint_path: Path, path: Path, options: Options = DEFAULTS) -> Export:
    """Export a generator in int8, validate it and write the page with it. Raises as `export_model` does."""
    with scratch_folder() as folder:
        export = export_model(checkpoint_path, folder / f"{path.stem}.onnx", "int8", options=options)
        return replace(export, path=path, size=write_page(export.path, path))


def write_page(model_path: Path, path: Path) -> int:
    """Write the demo page with a model file in it, whole or not at all; returns the page's size in bytes.

    Raises ModelFileError if the model is not one of avatar-edge, or OutputError.
    """
    data = read_model(model_path)
    ModelSpec.from_metadata(metadata(open_session(data)))
    web = web_sources()
    script = bundle(web / "demo" / "demo.js", {web / "src" / "embedded.js": embedded_module(data)}) + _START
    scripts = (
        f'<script type="text/plain" id="model">{base64.b64encode(gzip.compress(data, mtime=0)).decode()}</script>',
        f'<script type="module">\n{_inline(script)}</script>',
    )
    page = (web / "index.html").read_text("utf-8")
    style = (web / "demo" / "demo.css").read_text("utf-8")
    page = _replace(r'<link rel="stylesheet".*>', f"<style>\n{style}</style>", page)
    page = _replace(r"<script type=.*</script>\n", "", page)
    page = _replace(r"</body>", "\n".join((*scripts, "</body>")), page)
    write_file(path, page.encode())
    return len(page.encode())


def bundle(entry: Path, made: dict[Path, str]) -> str:
    """An ES module and everything it imports as one script: each file once, imported files first.

    made has the text of files that are not on disk.
    """
    done: list[Path] = []
    parts: list[str] = []

    def add(path: Path) -> None:
        if path in done:
            return
        done.append(path)
        text = made.get(path) or path.read_text("utf-8")
        for address in _IMPORT.findall(text):
            add((path.parent / address).resolve())
        parts.append(_EXPORT.sub("", _IMPORT.sub("", text)))

    made = {path.resolve(): text for path, text in made.items()}
    add(entry.resolve())
    return "\n".join(parts)


def _inline(script: str) -> str:
    """A script whose text cannot end its element: \\x3C is < in JavaScript's strings, templates and patterns."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", script, flags=re.IGNORECASE)


def _replace(pattern: str, replacement: str, page: str) -> str:
    page, count = re.subn(pattern, lambda match: replacement, page)
    if count != 1:
        raise InputError(f"runtime/web/index.html has {count} places like {pattern}; one is needed")
    return page
