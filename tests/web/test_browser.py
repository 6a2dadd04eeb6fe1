"""The demo page, the element and the single-file page in a real Chromium, under a strict Content-Security-Policy."""

import base64
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_export.formats.html_page import write_page
from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model

playwright = pytest.importorskip("playwright.sync_api")
WEB = Path(__file__).parents[2] / "runtime" / "web"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium, for example from Debian's package chromium")
    with playwright.sync_playwright() as driver:
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


def until(page: Any, condition: str, seconds: float = 120) -> None:
    """Wait for a JavaScript condition; Playwright's own way needs eval, which the policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


IDLE = "document.getElementById('face').ariaBusy === 'false'"
DRAWN = "document.getElementById('status').textContent === ''"
FACE = """() => {
  const canvas = document.getElementById("face");
  return btoa(String.fromCharCode(...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data));
}"""


def shown(page: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the page's large face shows: uint8 [64, 64, 3]."""
    return np.frombuffer(base64.b64decode(page.evaluate(FACE)), np.uint8).reshape(64, 64, 4)[..., :3]


def close_to(one: Any, other: Any) -> bool:
    """Whether two images differ by no more than the model's golden tolerance."""
    return bool(np.abs(one.astype(np.int16) - other).max() <= TOLERANCE)


PYTHON = AvatarGenerator.load()
TOLERANCE = PYTHON.spec.golden.tolerance if PYTHON.spec.golden else 1


def test_typing_a_name_draws_its_face(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/index.html#name=alice")
    until(page, DRAWN)
    assert close_to(shown(page), PYTHON.generate(["alice"])[0])
    page.fill("#name", "アリス")
    until(page, "document.getElementById('face').ariaLabel === 'Avatar of アリス'")
    assert close_to(shown(page), PYTHON.generate(["アリス"])[0])
    assert page.evaluate("location.hash") == "#name=%E3%82%A2%E3%83%AA%E3%82%B9"


def test_a_link_shows_what_it_was_made_of(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/index.html#name=alice&to=bob&mix=0.25&truncation=0.7")
    until(page, DRAWN)
    assert close_to(shown(page), PYTHON.mix("alice", "bob", 0.25, truncation=0.7))
    assert page.input_value("#other") == "bob"


def test_keys_are_enough(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/index.html#name=alice&to=bob")
    until(page, DRAWN)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('output[for=mix]').value === '3 %'")
    until(page, IDLE)
    assert close_to(shown(page), PYTHON.mix("alice", "bob", 0.03))


def test_a_face_is_saved_as_png(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/index.html#name=a/b")
    until(page, DRAWN)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "a-b.png"
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert np.array_equal(saved, shown(page))


def test_the_wall_draws_what_comes_near_the_screen_and_lends_its_names(page: Any, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto(f"{site}/demo/index.html")
    drawn = "[...document.querySelectorAll('avatar-face')].filter(f => f.shadowRoot.querySelector('canvas')).length"
    until(page, f"{drawn} > 0")
    assert page.evaluate("document.querySelectorAll('avatar-face').length") == 64
    assert page.evaluate(drawn) < 64
    for i in range(0, 64, 4):  # a row
        page.evaluate(f"document.querySelectorAll('avatar-face')[{i}].scrollIntoView()")
        until(page, f"document.querySelectorAll('avatar-face')[{i}].shadowRoot.querySelector('canvas') !== null")
    until(page, f"{drawn} === 64")
    name = page.evaluate("document.querySelectorAll('avatar-face')[63].name")
    page.click("#wall button:last-child")
    until(page, f"document.getElementById('face').ariaLabel === 'Avatar of {name}'")
    assert close_to(shown(page), PYTHON.generate([name])[0])


def test_the_page_works_without_a_network_once_seen(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/index.html#name=alice")
    until(page, DRAWN)
    page.context.set_offline(True)
    page.reload()
    until(page, DRAWN)
    assert close_to(shown(page), PYTHON.generate(["alice"])[0])


def test_one_file_opens_from_disk(page: Any, node: str, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_page(embedded_model(), out, WEB / "node_modules" / "onnxruntime-web" / "dist")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{out.as_uri()}#name=alice&to=bob&mix=0.5")
    until(page, DRAWN)
    assert close_to(shown(page), PYTHON.mix("alice", "bob", 0.5))
    assert {url.split(":")[0] for url in requests} <= {"file", "blob", "data"}


ELEMENTS = """async (attributes) => {
  const { AvatarFace } = await import("/src/element.js");
  AvatarFace.options = { ort: new URL("/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs", location.href) };
  document.body.replaceChildren();
  return Promise.all(attributes.map((values) => new Promise((resolve) => {
    const face = new AvatarFace();
    for (const [name, value] of Object.entries(values)) face.setAttribute(name, value);
    face.addEventListener("load", () => resolve(["load", face.internals.ariaLabel, face.offsetWidth]));
    face.addEventListener("error", (event) => resolve(["error", event.detail.message, face.shadowRoot.textContent]));
    document.body.append(face);
  })));
}"""


def test_the_element(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/demo.css")
    answers = page.evaluate(
        ELEMENTS,
        [
            {"name": "alice"},
            {"name": "bob", "size": "48", "alt": "Bob himself"},
            {"name": "carol", "truncation": "9"},
            {"name": "dave", "model": "/missing.onnx"},
            {"name": "erin", "model": "/package.json"},
        ],
    )
    assert answers[0] == ["load", "Avatar of alice", 96]
    assert answers[1] == ["load", "Bob himself", 48]
    assert answers[2] == ["error", "truncation must be a finite number from 0 to 2, not 9", "C"]
    assert answers[3] == ["error", f"{site}/missing.onnx: cannot read it: HTTP 404 File not found", "D"]
    assert answers[4][0] == "error"
    assert "it is not an ONNX model" in answers[4][1]
    assert [text for text in page.complaints if "404" not in text] == []
    page.complaints.clear()  # the browser itself reports the 404


MANY = """async ([start, count]) => {
  const { AvatarGenerator, toBlob } = await import("/src/index.js");
  const ort = new URL("/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs", location.href);
  self.generator ??= await AvatarGenerator.load(undefined, { ort });
  const names = Array.from({ length: count }, (_, i) => `many/${start + i}`);
  for await (const images of self.generator.stream(names)) for (const image of images) await toBlob(image);
  const [last] = await self.generator.generate([names.at(-1)]);
  return btoa(String.fromCharCode(...last.data));
}"""


def test_a_thousand_avatars_leave_the_memory_flat(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/demo.css")
    protocol = page.context.new_cdp_session(page)

    def used() -> float:
        protocol.send("HeapProfiler.collectGarbage")
        return float(protocol.send("Runtime.getHeapUsage")["usedSize"])

    page.evaluate(MANY, [0, 100])
    before = used()
    last = page.evaluate(MANY, [100, 1000])
    assert used() - before < 1_000_000, "a thousand avatars are 16 MB"
    image = np.frombuffer(base64.b64decode(last), np.uint8).reshape(64, 64, 4)[..., :3]
    assert close_to(image, PYTHON.generate(["many/1099"])[0])


def test_webp_is_written_where_the_browser_can(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/demo.css")
    page.evaluate(MANY, [0, 1])
    write = """async (type) => {
      const { toBlob } = await import("/src/index.js");
      const [image] = await self.generator.generate(["alice"]);
      return toBlob(image, type).then(
        async (blob) => [blob.type, btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())))],
        (error) => [error.name, error.message],
      );
    }"""
    kind, data = page.evaluate(write, "image/webp")
    assert kind == "image/webp"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 64)
    assert page.evaluate(write, "image/tiff") == ["OutputError", "this browser cannot write image/tiff"]
