"""AvatarGenerator in real browsers: workers, order, cancelling, and where the model comes from."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from web.conftest import WEB, rgb, until
from web.engines import everywhere

MODEL = embedded_model().read_bytes()
PYTHON = AvatarGenerator.load()
MODEL_ID = PYTHON.model_id
LOAD = "const { AvatarGenerator } = await import('/src/index.js');"
FRAME = "document.body.appendChild(document.createElement('iframe')).contentWindow"
TELL = ".then(() => 'fine', ({ name, code, message }) => [name, code, message])"


def run(page: Any, body: str, argument: Any = None) -> Any:
    return page.evaluate(f"async (argument) => {{ {LOAD} {body} }}", argument)


@pytest.fixture
def blank(page: Any, site: str) -> Any:
    page.goto(f"{site}/demo/demo.css")
    return page


@everywhere
@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.native)])
def test_many_names_are_pythons_bytes_in_their_order(blank: Any, count: int) -> None:
    digests = run(
        blank,
        """const generator = await AvatarGenerator.load(undefined, { workers: 3 });
        const found = [];
        for await (const images of generator.stream(argument, { seed: "many" })) {
          for (const { name, data } of images) {
            const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
            found.push([name, Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")]);
          }
        }
        return [found, generator.engine.lanes.size];""",
        count,
    )
    images = PYTHON.generate(count, seed="many")
    rgba = np.concatenate([images, np.full((*images.shape[:3], 1), 255, np.uint8)], axis=3)
    expected = [[f"many/{i}", hashlib.sha256(image.tobytes()).hexdigest()] for i, image in enumerate(rgba)]
    assert digests == [expected, 3]


def test_a_crowd_starts_workers_that_give_their_memory_back_when_it_is_done(blank: Any) -> None:
    body = """window.generator = await AvatarGenerator.load(undefined, { workers: 3 });
    await generator.generate(["alice", "bob"]);
    const few = generator.engine.lanes.size;
    await generator.generate(100);
    return [few, generator.engine.lanes.size];"""
    assert run(blank, body) == [1, 3]
    until(blank, "generator.engine.lanes.size === 1")
    assert run(blank, "return (await generator.generate(['alice'])).length;") == 1


def test_what_is_urgent_goes_first(blank: Any) -> None:
    body = """const generator = await AvatarGenerator.load(undefined, { workers: 1 });
    const order = [];
    const bulk = generator.generate(100).then(() => order.push("bulk"));
    const urgent = generator.generate(["alice"], { priority: "high" }).then(() => order.push("urgent"));
    await Promise.all([bulk, urgent]);
    return order;"""
    assert run(blank, body) == ["urgent", "bulk"]


def test_an_abort_ends_it_at_once_and_the_generator_lives_on(blank: Any) -> None:
    body = f"""const generator = await AvatarGenerator.load();
    const stop = new AbortController();
    const drawing = generator.generate(20_000, {{ signal: stop.signal }}){TELL};
    const early = generator.mix("a", "b", 0.5, {{ signal: AbortSignal.abort(new Error("no")) }}){TELL};
    await generator.generate(["x"], {{ priority: "high" }});
    stop.abort(new Error("enough"));
    return [(await drawing)[2], (await early)[2], (await generator.generate(["alice"])).length];"""
    assert run(blank, body) == ["enough", "no", 1]


def test_a_worker_that_dies_is_replaced(blank: Any) -> None:
    body = f"""const generator = await AvatarGenerator.load(undefined, {{ workers: 1 }});
    const [lane] = generator.engine.lanes;
    const drawing = generator.generate(["alice"]){TELL};
    lane.thread.onerror({{ message: "killed" }});
    return [await drawing, (await generator.generate(["bob"])).length];"""
    assert run(blank, body) == [["AvatarError", "worker", "the worker failed (killed)"], 1]


@everywhere
@pytest.mark.parametrize("worker", ["blob:", "'self'"], ids=["in workers", "in the page"])
def test_a_strict_policy_is_enough(page: Any, serve_web: Callable[[str], str], worker: str) -> None:
    policy = f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src {worker}; connect-src 'self'"
    page.goto(f"{serve_web(policy)}/demo/demo.css")
    body = """const generator = await AvatarGenerator.load(undefined, { workers: 2 });
    const [{ data }] = await generator.generate(["alice"]);
    return [Array.from(data), generator.engine.limit];"""
    drawn, limit = run(page, body)
    assert np.array_equal(rgb(bytes(drawn)), PYTHON.generate(["alice"])[0])
    assert limit == (2 if worker == "blob:" else 0)
    page.complaints[:] = [text for text in page.complaints if not re.search("Content.Security.Policy", text)]


@everywhere
def test_a_policy_without_webassembly_is_named(page: Any, serve_web: Callable[[str], str]) -> None:
    page.goto(serve_web("default-src 'self'; worker-src blob:") + "/demo/demo.css")
    name, code, message = run(page, f"return AvatarGenerator.load(){TELL};")
    assert (name, code) == ("AvatarError", "webassembly")
    assert "wasm-unsafe-eval" in message


@pytest.mark.parametrize(
    "source",
    [
        "'/model.onnx'",
        "new URL('/model.onnx', location)",
        "await fetch('/model.onnx')",
        "await (await fetch('/model.onnx')).arrayBuffer()",
        "new File([await (await fetch('/model.onnx')).blob()], 'mine.onnx')",
        f"new ({FRAME}.URL)('/model.onnx', location)",
        f"await {FRAME}.fetch('/model.onnx')",
        f"await (await {FRAME}.fetch('/model.onnx')).arrayBuffer()",
    ],
)
def test_a_model_comes_from_anywhere(blank: Any, source: str) -> None:
    assert run(blank, f"return (await AvatarGenerator.load({source})).verify();") == 0


def test_the_model_is_downloaded_once_and_kept_under_its_digest(blank: Any, site: str) -> None:
    requests: list[str] = []
    blank.on("request", lambda request: requests.append(request.url) if request.url.endswith(".onnx") else None)
    for _ in range(2):
        assert run(blank, "return (await AvatarGenerator.load()).verify();") == 0
        blank.reload()
    assert len(requests) == 1
    keys = "caches.open('avatar-edge-models').then((c) => c.keys()).then((keys) => keys.map((key) => key.url))"
    assert blank.evaluate(keys) == [f"{site}/.avatar-edge/{hashlib.sha256(MODEL).hexdigest()}.onnx?model={MODEL_ID}"]


@everywhere
def test_kept_models_make_room_for_new_ones(blank: Any) -> None:
    keys = run(
        blank,
        """const cache = await caches.open("avatar-edge-models");
        for (let i = 0; i < 6; i++) await cache.put(`/.avatar-edge/${i}.onnx`, new Response("old"));
        await AvatarGenerator.load();
        return (await cache.keys()).map(({ url }) => new URL(url).pathname.split("/").at(-1));""",
    )
    assert keys == ["3.onnx", "4.onnx", "5.onnx", f"{hashlib.sha256(MODEL).hexdigest()}.onnx"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_damaged_model_is_fetched_again(blank: Any, kept: bool) -> None:
    """Damaged in Cache Storage, or on its first way here."""
    answers = [MODEL] if kept else [MODEL[:1000] + b"!" + MODEL[1001:], MODEL]
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(body=answers.pop(0))

    blank.route("**/*.onnx", answer)
    if kept:
        key = f"/.avatar-edge/{hashlib.sha256(MODEL).hexdigest()}.onnx"
        run(blank, f"await (await caches.open('avatar-edge-models')).put('{key}', new Response('damaged'));")
    assert run(blank, "return (await AvatarGenerator.load()).verify();") == 0
    assert len(asked) == (1 if kept else 2)


def test_a_model_that_stays_damaged_is_told(blank: Any) -> None:
    blank.route("**/*.onnx", lambda route: route.fulfill(body=MODEL[:-1]))
    name, code, message = run(blank, f"return AvatarGenerator.load(){TELL};")
    assert (name, code) == ("ModelFileError", "damaged")
    assert "SHA-256" in message


def test_a_download_can_be_aborted(blank: Any) -> None:
    blank.route("**/*.onnx", lambda route: None)  # never comes
    body = f"""const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("enough")), 50);
    return AvatarGenerator.load(undefined, {{ signal: stop.signal }}){TELL};"""
    assert run(blank, body)[2] == "enough"


@pytest.fixture
def bundled(unpack: Callable[[Path], None], tmp_path: Path, serve: Callable[..., str]) -> Callable[[str], str]:
    """bundled(script): the address of a site whose /worker.js is made of the packed package by esbuild."""

    def bundled(script: str) -> str:
        unpack(tmp_path)
        (tmp_path / "index.html").write_text('<!doctype html><link rel="icon" href="data:,">')
        (tmp_path / "main.js").write_text(
            'import { AvatarGenerator } from "avatar-runtime-web";\n'
            'import model from "avatar-runtime-web-model/model.onnx";\n' + script
        )
        esbuild = WEB / "node_modules" / ".bin" / "esbuild"
        bundle = ["--bundle", "--minify", "--format=esm", "--outfile=worker.js"]
        files = ["--loader:.onnx=file", "--public-path=/"]
        subprocess.run([esbuild, "main.js", *bundle, *files], cwd=tmp_path, check=True, capture_output=True)
        return f"{serve(tmp_path)}/index.html"

    return bundled


@everywhere
def test_a_web_worker_draws(page: Any, bundled: Callable[[str], str]) -> None:
    page.goto(
        bundled("""self.onunhandledrejection = ({ reason }) => postMessage([String(reason), ""]);
        const generator = await AvatarGenerator.load(model);
        const [{ data }] = await generator.generate(["alice"]);
        postMessage([Array.from(data), generator.modelId]);""")
    )
    # Kept by the page: Firefox may collect a worker that nobody holds and that only waits for promises.
    answer = """() => new Promise((tell, fail) => {
      self.worker = new Worker("/worker.js", { type: "module" });
      self.worker.onmessage = ({ data }) => tell(data);
      self.worker.onerror = ({ message }) => fail(new Error(message));
    })"""
    drawn, model_id = page.evaluate(answer)
    assert np.array_equal(rgb(bytes(drawn)), PYTHON.generate(["alice"])[0])
    assert model_id == MODEL_ID


@everywhere
def test_a_service_worker_draws(page: Any, bundled: Callable[[str], str]) -> None:
    page.goto(
        bundled("""self.addEventListener("message", async ({ ports: [port] }) =>
        port.postMessage(await (await AvatarGenerator.load(model)).verify()));""")
    )
    answer = """async () => {
      const { active, installing, waiting } = await navigator.serviceWorker.register("/worker.js", { type: "module" });
      const { port1, port2 } = new MessageChannel();
      const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
      (active ?? installing ?? waiting).postMessage(0, [port2]);
      return answer;
    }"""
    assert page.evaluate(answer) == 0


MANY = """const { toBlob } = await import("/src/index.js");
self.generator ??= await AvatarGenerator.load();
const [start, count] = argument;
const names = Array.from({ length: count }, (_, i) => `many/${start + i}`);
for await (const images of self.generator.stream(names)) for (const image of images) await toBlob(image);"""


def test_a_thousand_avatars_leave_the_memory_flat(blank: Any) -> None:
    protocol = blank.context.new_cdp_session(blank)

    def used() -> float:
        protocol.send("HeapProfiler.collectGarbage")
        return float(protocol.send("Runtime.getHeapUsage")["usedSize"])

    run(blank, MANY, [0, 100])
    before = used()
    run(blank, MANY, [100, 1000])
    assert used() - before < 1_000_000, "a thousand avatars are tens of MB"
