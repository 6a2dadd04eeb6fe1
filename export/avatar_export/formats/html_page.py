"""The web page as one HTML file that opens from disk, with no server and no network.

The sources of runtime/web are ES modules, and a page on disk may not import modules. So they are put one after another,
in the order of their imports, without the words import and export. The model is compressed and written in base 85,
which is a 16th shorter than base 64; the browser undoes both.
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

DECODE = """
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
function decode(text) {
  const words = new DataView(new ArrayBuffer(Math.ceil(text.length / 5) * 4));
  const valueOf = new Uint8Array(128);
  for (let i = 0; i < 85; i++) valueOf[DIGITS.charCodeAt(i)] = i;
  for (let at = 0; at < text.length; at += 5) {
    let word = 0; // five digits are four bytes; those missing at the end count as the last digit
    for (let i = at; i < at + 5; i++) word = word * 85 + (i < text.length ? valueOf[text.charCodeAt(i)] : 84);
    words.setUint32((at / 5) * 4, word);
  }
  return words.buffer.slice(0, Math.floor((text.length * 4) / 5));
}
"""
"""What undoes `encode` in JavaScript."""

_START = """
const packed = new Blob([decode(document.getElementById("model").textContent)]);
await start({ model: new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))) });
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
    script = bundle(web / "demo" / "demo.js", {web / "src" / "embedded.js": embedded_module(data)}) + DECODE + _START
    packed = encode(gzip.compress(data, mtime=0))
    scripts = (
        f'<script type="text/plain" id="model">{packed}</script>',
        f'<script type="module">\n{_inline(script)}</script>',
    )
    page = (web / "index.html").read_text("utf-8")
    style = (web / "demo" / "demo.css").read_text("utf-8")
    page = _replace(r'<link rel="stylesheet".*>', f"<style>\n{style}</style>", page)
    page = _replace(r"<script type=.*</script>\n", "", page)
    page = _replace(r"</body>", "\n".join((*scripts, "</body>")), page)
    write_file(path, page.encode())
    return len(page.encode())


def encode(data: bytes) -> str:
    """Bytes as text in base 85, with a comma for "<": nothing in it can look like a tag."""
    return base64.b85encode(data).decode().replace("<", ",")


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
