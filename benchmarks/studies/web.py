"""The web runtime's load time and latency in Chromium and in Node: python -m benchmarks.studies.web [MODEL …]

One avatar at a time, one thread, through AvatarGenerator with all around it: worker, latents, RGBA. Beside it, how
far the pixels are from what Python draws with the same file, over 64 names. Needs Chromium and
`npm install --prefix runtime/web`.
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

ROOT = Path(__file__).parents[2]
WEB = ROOT / "runtime" / "web"
COUNT = 64

MEASURE = """async (index, model, options, count) => {
  const { AvatarGenerator } = await import(index);
  const began = performance.now();
  const generator = await AvatarGenerator.load(model, options);
  await generator.generate(["first"]);
  const load = performance.now() - began;
  const times = [];
  const pixels = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const [image] = await generator.generate([`web/${i}`]);
    times.push(performance.now() - start);
    pixels.push(Array.from(image.data));
  }
  await generator.close();
  return { load, times, pixels };
}"""


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True))
def main(models: tuple[Path, ...]) -> None:
    """Measure model files, by default the embedded one."""
    for model in models or (embedded_model(),):
        expected = AvatarGenerator.load(model).generate(COUNT, seed="web")
        for where, measure in (("Node", _in_node), ("Chromium", _in_chromium)):
            found = measure(model.resolve())
            drawn = np.array(found["pixels"], np.uint8).reshape(COUNT, *expected.shape[1:3], 4)[..., :3]
            levels = np.abs(drawn.astype(np.int16) - expected)
            low, middle, high = np.percentile(found["times"], (10, 50, 90))
            print(
                f"{model.name} in {where}: load and first face {found['load']:.0f} ms, a face {middle:.1f} ms "
                f"({low:.1f} to {high:.1f}); {levels.max()} levels off at most, {(levels > 0).mean():.4%} of values"
            )


def _in_node(model: Path) -> dict[str, Any]:
    call = f"const {{ load, times, pixels }} = await ({MEASURE})({json.dumps((WEB / 'src/index.js').as_uri())}, "
    script = f"{call}{json.dumps(str(model))}, {{}}, {COUNT}); console.log(JSON.stringify({{ load, times, pixels }}));"
    node = shutil.which("node") or "node"
    done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, check=True)
    return dict(json.loads(done.stdout))


def _in_chromium(model: Path) -> dict[str, Any]:
    with _site() as site, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{site}/demo/demo.css")
        ort = f"{site}/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs"
        arguments = [f"{site}/src/index.js", f"data:;base64,{base64.b64encode(model.read_bytes()).decode()}"]
        found = page.evaluate(f"(args) => ({MEASURE})(...args)", [*arguments, {"ort": ort}, COUNT])
        browser.close()
        return dict(found)


@contextmanager
def _site() -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
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
