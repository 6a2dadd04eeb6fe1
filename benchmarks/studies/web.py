"""How fast are load and drawing in Chromium and in Node? `python -m benchmarks.studies.web [MODEL …]`

Draws with the web package, and with onnxruntime-web in one thread on the same file. Prints the time until the first
face, the time of one face, and the time of 64 faces in one call; and how far the package's pixels are from Python's.
Needs Chromium, Node and `npm install --prefix runtime/web`.
"""

import base64
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from playwright.sync_api import sync_playwright

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.web_sources import embedded_module
from benchmarks.suite.tables import Table, milliseconds
from benchmarks.suite.timing import Spread, exactly, spread

WEB = Path(__file__).parents[2] / "runtime" / "web"
COUNT = 64

PACKAGE = """async (index, model, count, dim) => {
  const { AvatarGenerator } = await import(index);
  const began = performance.now();
  const generator = await AvatarGenerator.load(Uint8Array.from(atob(model), (c) => c.charCodeAt(0)), { workers: 1 });
  await generator.generate(["first"]);
  const first = performance.now() - began;
  const times = [], pixels = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const [image] = await generator.generate([`web/${i}`]);
    times.push(performance.now() - start);
    pixels.push(Array.from(image.data));
  }
  const start = performance.now();
  await generator.generate(count, { seed: "together" });
  const together = performance.now() - start;
  await generator.close();
  return { first, times, together, pixels };
}"""
ONNXRUNTIME = """async (index, model, count, dim) => {
  const began = performance.now();
  const ort = await import(index);
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(Uint8Array.from(atob(model), (c) => c.charCodeAt(0)));
  const draw = async (n) => {
    await session.run({ z: new ort.Tensor("float32", new Float32Array(n * dim), [n, dim]) });
  };
  await draw(1);
  const first = performance.now() - began;
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await draw(1);
    times.push(performance.now() - start);
  }
  const start = performance.now();
  await draw(count);
  return { first, times, together: performance.now() - start, pixels: [] };
}"""
DRAWN_BY = {
    "avatar-runtime-web": (PACKAGE, "src/index.js"),
    "onnxruntime-web": (ONNXRUNTIME, "node_modules/onnxruntime-web/dist/ort.wasm.min.mjs"),
}


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True))
def main(models: tuple[Path, ...]) -> None:
    """Measure int8 model files, by default the embedded one."""
    rows = []
    for model in models or (embedded_model(),):
        generator = AvatarGenerator.load(model)
        expected = generator.generate(COUNT, seed="web")
        arguments = [base64.b64encode(model.read_bytes()).decode(), COUNT, generator.spec.latent_dim]
        for where, measure in (("Chromium", in_chromium), ("Node", in_node)):
            for name, (script, path) in DRAWN_BY.items():
                found = measure(script, path, arguments)
                times: Spread = spread([value / 1e3 for value in found["times"]])
                cells = [milliseconds(exactly(found[key] / 1e3)).split()[0] for key in ("first", "together")]
                rows.append(
                    [f"{model.name}, {where}, {name}", cells[0], milliseconds(times), cells[1], levels(found, expected)]
                )
    header = ["", "first face, ms", "one face, ms", f"{COUNT} faces, ms", "beside Python's pixels"]
    click.echo(Table("In the browser and in Node", header, rows).markdown())


def levels(found: dict[str, Any], expected: Any) -> str:
    """The difference of drawn RGBA pixels from Python's, in words."""
    if not found["pixels"]:
        return "not compared"
    drawn = np.array(found["pixels"], np.uint8).reshape(COUNT, *expected.shape[1:3], 4)[..., :3]
    difference = np.abs(drawn.astype(np.int16) - expected)
    return (
        f"{difference.max()} levels at most, {(difference > 0).mean():.4%} of values" if difference.any() else "equal"
    )


def in_node(script: str, path: str, arguments: list[Any]) -> dict[str, Any]:
    """Run a script in Node, one thread."""
    program = f"console.log(JSON.stringify(await ({script})(...{json.dumps([(WEB / path).as_uri(), *arguments])})));"
    node = [shutil.which("node") or "node", "--input-type=module", "-"]
    done = subprocess.run(node, input=program, capture_output=True, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def in_chromium(script: str, path: str, arguments: list[Any]) -> dict[str, Any]:
    """Run a script on a page of Chromium."""
    with _site() as site, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{site}/package.json")
        found = page.evaluate(f"(args) => ({script})(...args)", [f"{site}/{path}", *arguments])
        browser.close()
        return dict(found)


@contextmanager
def _site() -> Iterator[str]:
    embedded = embedded_module(embedded_model().read_bytes()).encode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012  # the base class declares it so
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }

        def do_GET(self) -> None:
            if self.path != "/src/embedded.js":  # npm's takes the model from another package, which bundlers find
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(embedded)
            return None

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(WEB)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
