"""The page and its one-file form in real browsers, under avatar-serve's Content-Security-Policy."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_export.formats.html_page import write_page
from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from web.conftest import rgb, until
from web.engines import everywhere

PYTHON = AvatarGenerator.load()
SIZE = PYTHON.spec.image_size
READY = "document.getElementById('face').ariaBusy === 'false'"
FACE = """() => {
  const canvas = document.getElementById("face");
  return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
}"""


def shown(page: Any) -> UInt8:
    """What the page's large face shows: uint8 [H, W, 3]."""
    return rgb(bytes(page.evaluate(FACE)))


def visit(page: Any, address: str) -> None:
    page.goto(address)
    until(page, READY)


def showing(label: str) -> str:
    return f"{READY} && document.getElementById('face').ariaLabel === {label!r}"


@everywhere
def test_typing_a_name_draws_its_face(page: Any, site: str) -> None:
    page.goto(f"{site}/#name=alice")
    until(page, showing("Avatar of alice"))
    assert np.array_equal(shown(page), PYTHON.generate(["alice"])[0])
    page.fill("#name", "アリス")
    until(page, showing("Avatar of アリス"))
    assert np.array_equal(shown(page), PYTHON.generate(["アリス"])[0])
    until(page, f"location.hash === '#name=%E3%82%A2%E3%83%AA%E3%82%B9&model={PYTHON.model_id}'")


@everywhere
def test_a_link_shows_what_it_was_made_of(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=alice&with=bob&mix=0.25&truncation=0.7")
    assert np.array_equal(shown(page), PYTHON.mix("alice", "bob", 0.25, truncation=0.7))
    assert page.evaluate("document.getElementById('other').value") == "bob"


def test_a_link_of_another_model_says_so(page: Any, site: str) -> None:
    page.goto(f"{site}/#name=alice&model=another@1")
    until(page, "document.getElementById('status').textContent.includes('another@1')")


def test_shuffle_takes_another_name_and_the_link_follows(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=alice")
    page.click("#shuffle")
    until(page, "document.getElementById('name').value !== 'alice'")
    name = page.input_value("#name")
    until(page, showing(f"Avatar of {name}"))
    assert np.array_equal(shown(page), PYTHON.generate([name])[0])


def test_keys_are_enough_to_blend(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=alice")
    page.focus("#name")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("bob")  # the suggestion is selected
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.id") != "mix":
        page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, showing("Avatar between alice and bob"))
    assert np.array_equal(shown(page), PYTHON.mix("alice", "bob", 0.53))


def test_one_face_is_dragged_onto_another(page: Any, site: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{site}/")
    until(page, "document.querySelectorAll('#wall button').length > 2")
    tiles = page.locator("#wall button")
    a, b = (tiles.nth(i).get_attribute("data-name") for i in (0, 1))
    tiles.nth(0).drag_to(tiles.nth(1))
    until(page, showing(f"Avatar between {a} and {b}"))
    assert np.array_equal(shown(page), PYTHON.mix(a, b, 0.5))


Finger = Callable[..., None]


@pytest.fixture
def finger(page: Any) -> Finger:
    """finger("touchStart", x, y), and so on: a finger on the page."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def finger(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return finger


def middle(tile: Any) -> tuple[float, float]:
    box = tile.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_finger_that_holds_drags_a_face(page: Any, site: str, finger: Finger) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{site}/")
    until(page, "document.querySelectorAll('#wall button').length > 2")
    page.evaluate("document.getElementById('wall').scrollIntoView()")
    tiles = page.locator("#wall button")
    a, b = (tiles.nth(i).get_attribute("data-name") for i in (0, 4))
    (x, y), (to_x, to_y) = middle(tiles.nth(0)), middle(tiles.nth(4))
    finger("touchStart", x, y)
    until(page, "document.querySelector('.ghost') !== null")
    scrolled = page.evaluate("scrollY")
    for part in (0.3, 0.6, 1):
        finger("touchMove", x + (to_x - x) * part, y + (to_y - y) * part)
    until(page, "document.querySelector('.target') !== null")
    assert page.evaluate("scrollY") == scrolled
    finger("touchEnd")
    until(page, showing(f"Avatar between {a} and {b}"))
    assert np.array_equal(shown(page), PYTHON.mix(a, b, 0.5))
    assert page.locator(".ghost").count() == 0


def test_a_finger_that_moves_at_once_scrolls(page: Any, site: str, finger: Finger) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, f"{site}/#name=alice")
    x, y = middle(page.locator("#wall button").nth(0))
    finger("touchStart", x, y)
    for moved in range(20, 200, 20):
        finger("touchMove", x, y - moved)
    finger("touchEnd")
    until(page, "scrollY > 50")
    assert page.locator(".ghost").count() == 0
    assert page.input_value("#name") == "alice"


def test_a_page_at_rest_does_nothing(page: Any, site: str) -> None:
    """Nothing runs, is laid out or painted anew while nobody touches the page."""
    visit(page, f"{site}/#name=alice")
    near = "[...document.querySelectorAll('#wall avatar-face')].every((face) => face.complete || face.state === '')"
    until(page, f"{near} && !document.querySelector('input:focus')?.blur()")
    page.evaluate("document.activeElement.blur()")  # a caret blinks
    protocol = page.context.new_cdp_session(page)
    protocol.send("Performance.enable")
    counts = ("LayoutCount", "RecalcStyleCount", "ScriptDuration")

    def counted() -> dict[str, float]:
        metrics = protocol.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics if metric["name"] in counts}

    until(page, "new Promise((done) => setTimeout(done, 6000, true))")  # idle workers end after five seconds
    before = counted()
    page.wait_for_timeout(3000)
    assert counted() == before


def saved(page: Any, size: str, shape: str, kind: str) -> Image.Image:
    page.click("#open-save")
    page.check(f"input[name=size][value='{size}']")
    page.check(f"input[name=shape][value={shape}]")
    with page.expect_download() as download:
        page.click(f"#save-form button[value={kind}]")
    assert download.value.suggested_filename.endswith(f".{kind}")
    return Image.open(io.BytesIO(download.value.path().read_bytes()))


def test_a_face_is_saved_as_png(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=a/b")
    assert np.array_equal(np.asarray(saved(page, str(SIZE), "square", "png").convert("RGB")), shown(page))
    round_ = np.asarray(saved(page, "512", "round", "png").convert("RGBA"))
    assert round_.shape == (512, 512, 4)
    assert (round_[0, 0, 3], round_[256, 256, 3]) == (0, 255)


def test_a_morph_is_saved_as_gif(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=alice&with=bob")
    gif: Any = saved(page, str(SIZE), "square", "gif")
    assert (gif.n_frames, gif.size) == (46, (SIZE, SIZE))
    ends = PYTHON.generate(["alice", "bob"]).astype(np.int16)
    for frame, face in ((0, ends[0]), (23, ends[1])):
        gif.seek(frame)
        assert np.abs(np.asarray(gif.convert("RGB")) - face).mean() < 8, "255 colours for all frames"
    round_: Any = saved(page, "128", "round", "gif")
    round_.seek(5)
    assert np.asarray(round_.convert("RGBA"))[0, 0, 3] == 0


def test_the_wall_fills_as_one_scrolls_and_lends_its_names(page: Any, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto(f"{site}/")
    until(page, "document.querySelectorAll('#wall li').length >= 60")
    for _ in range(3):
        before = page.evaluate("document.querySelectorAll('#wall li').length")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        until(page, f"document.querySelectorAll('#wall li').length > {before}")
    page.evaluate("(window.last = [...document.querySelectorAll('#wall avatar-face')].at(-1)).scrollIntoView()")
    until(page, "last.complete")
    names = page.evaluate("[...document.querySelectorAll('#wall bdi')].map((label) => label.textContent)")
    assert len(set(names)) == len(names)
    page.click(f"#wall li:nth-child({len(names)}) button")
    until(page, showing(f"Avatar of {page.input_value('#name')}"))


def test_a_team_becomes_a_sheet_and_a_zip(page: Any, site: str) -> None:
    page.goto(f"{site}/")
    page.click("#open-team")
    page.fill("#names", "alice, bob\nalice\n../bob\nBOB")
    assert page.locator("#sheet bdi").all_text_contents() == ["alice", "bob", "../bob", "BOB"]
    with page.expect_download() as download:
        page.click("#zip")
    with zipfile.ZipFile(download.value.path()) as team:
        assert team.testzip() is None
        assert team.namelist() == ["alice.png", "bob.png", "bob-2.png", "bob-3.png"]
        assert Image.open(io.BytesIO(team.read("alice.png"))).size == (256, 256)
    page.evaluate(
        """() => {
          const faces = () => [...document.querySelectorAll("#sheet avatar-face")];
          window.print = () => (window.printed = faces().every((face) => face.complete));
        }"""
    )
    page.click("#print")
    until(page, "window.printed === true")


def test_the_page_works_without_a_network_once_seen(page: Any, site: str) -> None:
    visit(page, f"{site}/#name=alice")
    until(page, "navigator.serviceWorker.controller !== null")
    until(page, "caches.open('avatar-edge').then((cache) => cache.keys()).then((keys) => keys.length > 15)")
    page.context.set_offline(True)
    page.reload()
    until(page, READY)
    assert np.array_equal(shown(page), PYTHON.generate(["alice"])[0])


@everywhere
def test_one_hint_says_how_to_blend(page: Any, site: str) -> None:
    """By mouse or by finger, or by mouse where the browser says it has neither."""
    page.goto(f"{site}/")
    shown = "Array.from(document.querySelectorAll('.mouse, .finger')).filter((hint) => hint.offsetWidth).length"
    assert page.evaluate(shown) == 1


def test_the_choices_to_save_begin_at_the_chosen_one(page: Any, site: str) -> None:
    page.goto(f"{site}/")
    page.click("#open-save")
    assert page.evaluate("document.activeElement.checked")


def test_it_fits_every_width(page: Any, site: str) -> None:
    for width in (320, 768, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        visit(page, f"{site}/#name=alice&with=bob")
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.fixture(scope="session")
def one_file(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one-file") / "page.html"
    assert write_page(embedded_model(), path) < 6_000_000
    return path


@everywhere
def test_one_file_opens_from_disk(page: Any, one_file: Path) -> None:
    visit(page, f"{one_file.as_uri()}#name=alice&with=bob&mix=0.5")
    assert np.array_equal(shown(page), PYTHON.mix("alice", "bob", 0.5))
    until(page, "document.querySelector('#wall avatar-face').complete")


def test_one_file_asks_for_nothing(page: Any, one_file: Path) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(one_file.as_uri())
    until(page, f"{READY} && document.querySelector('#wall avatar-face').complete")
    assert {url.split(":")[0] for url in requests} <= {"file", "blob", "data"}
