"""How fast are load and drawing in Chromium and in Node? `python -m benchmarks.studies.web [MODEL …]`

Draws with the web package, with one worker and with two, and with onnxruntime-web in one thread: the same file, by
turns, in one run. Prints what is moved for the first face, the time from navigation to it with a warm cache, the time
of one face, of one face by the processor's clock, which other work does not slow as much, and of 64 faces in one call.
The faces are compared with Python's.
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
from playwright.sync_api import CDPSession, sync_playwright

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.web_sources import embedded_module
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import Spread, ratio, seconds

WEB = Path(__file__).parents[2] / "runtime" / "web"
COUNT = 64
ROUNDS = 7
KEYS = ("first", "one", "cpu", "together")
OURS, TWO, ORT = "avatar-runtime-web", "avatar-runtime-web, 2 workers", "onnxruntime-web, 1 thread"

PACKAGE = """
const {{ AvatarGenerator }} = await import("{base}src/index.js");
const generator = await AvatarGenerator.load({model}, {{ workers: {workers} }});
globalThis.draw = async (names) => {{
  const start = performance.now(), images = await generator.generate(names);
  return [performance.now() - start, images];
}};
await draw(["first"]);
globalThis.first = performance.now();
"""
ONNXRUNTIME = """
const ort = await import("{base}node_modules/onnxruntime-web/dist/ort.wasm.min.mjs");
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create({model});
globalThis.draw = async (names) => {{
  const start = performance.now(), n = names.length;
  await session.run({{ z: new ort.Tensor("float32", new Float32Array(n * {dim}), [n, {dim}]) }});
  return [performance.now() - start, []];
}};
await draw(["first"]);
globalThis.first = performance.now();
"""
MEASURE = """async ([names, rounds]) => {
  const one = [];
  for (let i = 0; i < names.length; i++) one.push((await draw([names[i]]))[0]);
  const together = [];
  for (let i = 0; i < rounds; i++) together.push((await draw(names))[0]);
  return { one, together };
}"""
PIXELS = "async (names) => (await draw(names))[1].map(({ data }) => btoa(String.fromCharCode(...data)))"
MOVED = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, { transferSize }) => sum + transferSize, 0)"""


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True))
def main(models: tuple[Path, ...]) -> None:
    """Measure int8 model files, by default the packaged one."""
    for model in models or (embedded_model(),):
        for where, measure in (("Chromium", in_chromium), ("Node", in_node)):
            found = measure(model)
            note = f"{OURS} beside Python: {levels(model, found[OURS]['pixels'])}. " + "; ".join(ratios(found)) + "."
            header = ["", "moved, MB", "first face, ms", "one face, ms", "processor, ms", f"{COUNT} faces, ms"]
            rows = []
            for name, one in found.items():
                moved = f"{one['moved'] / 1e6:.2f}" if one["moved"] else "not counted"
                rows.append([name, moved, *(milliseconds(seconds(turns(one, key))) for key in KEYS)])
            click.echo(Table(f"{model.name} in {where}", header, rows, note).markdown() + "\n")


def turns(found: dict[str, Any], key: str) -> list[list[float]]:
    """Seconds of each round."""
    return [[value / 1e3 for value in turn] for turn in found[key]]


def ratios(found: dict[str, Any]) -> Iterator[str]:
    """How the contenders compare, in words."""

    def of(one: str, key: str, other: str) -> Spread:
        return ratio(turns(found[one], key), turns(found[other], key))

    if TWO in found:
        yield f"{COUNT} faces on two workers take {times(of(TWO, 'together', OURS))} of the time on one"
    yield f"onnxruntime-web takes {times(of(ORT, 'first', OURS))} times as long to the first face"
    yield f"{times(of(ORT, 'one', OURS))} times as long for one face"
    yield f"{times(of(ORT, 'cpu', OURS))} times by the processor's clock"


def levels(model: Path, pixels: list[str]) -> str:
    """The difference of drawn RGBA pixels from Python's, in words."""
    with AvatarGenerator.load(model) as generator:
        expected = generator.generate(names())
    drawn = np.frombuffer(b"".join(map(base64.b64decode, pixels)), np.uint8)
    drawn = drawn.reshape(COUNT, *expected.shape[1:3], 4)[..., :3]
    difference = np.abs(drawn.astype(np.int16) - expected)
    if not difference.any():
        return f"{COUNT} faces of {COUNT} equal"
    return f"{difference.max()} levels off at most, {(difference > 0).mean():.4%} of values"


def names() -> list[str]:
    """The faces that are drawn."""
    return [f"web/{i}" for i in range(COUNT)]


def scripts(base: str, model: str, dim: int) -> dict[str, str]:
    """What each contender does until its first face; `draw` then is its function."""
    ours = functools.partial(PACKAGE.format, base=base)
    return {
        OURS: ours(model="undefined" if base == "/" else model, workers=1 if base == "/" else 0),
        TWO: ours(model="undefined" if base == "/" else model, workers=2),
        ORT: ONNXRUNTIME.format(base=base, model=model, dim=dim),
    }


def in_node(model: Path) -> dict[str, Any]:
    """Each contender in a process of its own, in one thread; the first face counts from the process's start."""
    with AvatarGenerator.load(model) as generator:
        content = f'(await import("node:fs")).readFileSync({json.dumps(str(model))})'
        ready = scripts(f"{WEB.as_uri()}/", content, generator.spec.latent_dim)
    del ready[TWO]
    node = shutil.which("node") or "node"
    subprocess.run([node, "prepare.js"], cwd=WEB, check=True)  # what npm does before it packs
    found: dict[str, Any] = {name: {"moved": 0, **{key: [] for key in KEYS}} for name in ready}
    all_names = json.dumps(names())
    measure = f"""
    const before = process.cpuUsage(), measured = await ({MEASURE})([{all_names}, 1]);
    const {{ user, system }} = process.cpuUsage(before);
    const pixels = await ({PIXELS})({all_names});
    console.log(JSON.stringify({{ first, ...measured, cpu: (user + system) / 1e3, pixels }}));"""
    for _ in range(ROUNDS):
        for name, script in ready.items():
            command = [node, "--input-type=module", "-"]
            done = subprocess.run(command, input=script + measure, capture_output=True, check=True, text=True)
            add(found[name], json.loads(done.stdout.splitlines()[-1]))
    return found


def in_chromium(model: Path) -> dict[str, Any]:
    """Each contender on a page of its own; the first face counts from navigation, with a warm cache."""
    with AvatarGenerator.load(model) as generator:
        ready = scripts("/", '"/model.onnx"', generator.spec.latent_dim)
    found: dict[str, Any] = {name: {"moved": 0, **{key: [] for key in KEYS}} for name in ready}
    pages = {f"/{i}.html": script for i, script in enumerate(ready.values())}
    with _site(model, pages) as site, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context, protocol = browser.new_context(), browser.new_browser_cdp_session()
        for turn in range(ROUNDS + 1):
            for name, address in zip(found, pages, strict=True):
                page = context.new_page()
                page.goto(site + address)
                page.wait_for_function("globalThis.first")
                if not turn:  # with an empty cache
                    found[name]["moved"] = page.evaluate(MOVED)
                else:
                    before = used(protocol)
                    one = page.evaluate(MEASURE, [names(), 1]) | {"cpu": 1e3 * since(before, used(protocol))}
                    add(found[name], one | {"first": page.evaluate("first"), "pixels": page.evaluate(PIXELS, names())})
                page.close()
        browser.close()
    return found


def used(protocol: CDPSession) -> dict[int, float]:
    """Seconds of the processor that each process of pages has used, by its number."""
    processes = protocol.send("SystemInfo.getProcessInfo")["processInfo"]
    return {one["id"]: float(one["cpuTime"]) for one in processes if one["type"] == "renderer"}


def since(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds between two readings, of the processes that are still there."""
    return sum(seconds - before.get(number, 0) for number, seconds in after.items())


def add(found: dict[str, Any], one: dict[str, Any]) -> None:
    """Add a round: milliseconds to the first face, of each face, of all together; and of the processor for all."""
    found["first"].append([one["first"]])
    found["one"].append(one["one"])
    found["cpu"].append([one["cpu"] / (2 * COUNT)])
    found["together"].append(one["together"])
    found["pixels"] = one["pixels"]


@contextmanager
def _site(model: Path, pages: dict[str, str]) -> Iterator[str]:
    content = model.read_bytes()
    made = {"/model.onnx": content, "/src/embedded.js": embedded_module(content).encode()}
    page = '<!doctype html><link rel="icon" href="data:,"><script type="module">{}</script>'
    made |= {address: page.format(script).encode() for address, script in pages.items()}

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012  # the base class declares it so
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path not in made:
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(made[self.path])))
            self.end_headers()
            self.wfile.write(made[self.path])
            return None

        def end_headers(self) -> None:
            self.send_header("Cache-Control", "max-age=3600")
            super().end_headers()

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
