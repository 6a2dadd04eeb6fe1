"""<avatar-face> in real browsers: what a page may do with it, and what it does not do to a page."""

from typing import Any

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from web.conftest import rgb, until
from web.engines import everywhere

PIXELS = """(face) => {
  const canvas = face.shadowRoot?.querySelector("canvas");
  return canvas ? Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data) : null;
}"""


@pytest.fixture
def bare(page: Any, site: str) -> Any:
    """A page with nothing on it, under the strict policy."""
    page.goto(f"{site}/demo/demo.css")
    page.evaluate("document.body.replaceChildren()")
    return page


@pytest.fixture
def blank(bare: Any) -> Any:
    """A page with nothing on it that knows the element."""
    define(bare)
    return bare


def define(page: Any) -> None:
    page.evaluate("import('/src/element.js').then(() => 0)")


def put(page: Any, attributes: dict[str, str], name: str = "face") -> None:
    page.evaluate(
        """([attributes, name]) => {
          const face = (window[name] = document.createElement("avatar-face"));
          for (const [key, value] of Object.entries(attributes)) face.setAttribute(key, value);
          window[`${name}Events`] = [];
          for (const kind of ["load", "error"])
            face.addEventListener(kind, ({ detail }) => window[`${name}Events`].push([kind, detail?.code]));
          document.body.append(face);
        }""",
        [attributes, name],
    )


def is_face_of(page: Any, name: str, face: str = "face") -> bool:
    pixels = page.evaluate(f"({PIXELS})({face})")
    return pixels is not None and np.array_equal(rgb(bytes(pixels)), AvatarGenerator.load().generate([name])[0])


@everywhere
def test_it_shows_its_face_and_says_so(blank: Any) -> None:
    put(blank, {"name": "alice"})
    assert blank.evaluate("face.complete") is False
    until(blank, "face.complete")
    assert is_face_of(blank, "alice")
    assert blank.evaluate("[faceEvents, face.offsetWidth, face.offsetHeight]") == [[["load", None]], 96, 96]
    assert blank.evaluate("[face.internals.role, face.internals.ariaLabel]") == ["img", "Avatar of alice"]


@everywhere
def test_two_copies_of_the_package_share_one_element(blank: Any) -> None:
    one, other = "import('/src/element.js')", "import('/src/element.js?copy')"
    assert blank.evaluate(f"Promise.all([{one}, {other}]).then(([a, b]) => a.AvatarFace === b.AvatarFace)")
    assert blank.evaluate(f"{other}.then(({{ AvatarFace }}) => new AvatarFace().localName)") == "avatar-face"


@everywhere
def test_properties_set_before_the_definition_count(bare: Any) -> None:
    put(bare, {})
    bare.evaluate("Object.assign(face, { name: 'bob', size: 48 }) && 0")
    define(bare)
    until(bare, "face.complete && face.shadowRoot.querySelector('canvas') !== null")
    assert is_face_of(bare, "bob")
    assert bare.evaluate("[face.getAttribute('name'), face.offsetWidth]") == ["bob", 48]
    bare.evaluate("face.name = 'carol'")
    assert bare.evaluate("face.getAttribute('name')") == "carol"


@everywhere
@pytest.mark.parametrize("nothing", ["null", "undefined"])
def test_no_name_is_an_empty_box(blank: Any, nothing: str) -> None:
    put(blank, {"name": "alice"})
    until(blank, "face.complete")
    blank.evaluate(f"face.name = {nothing}")
    inside = "[face.hasAttribute('name'), face.shadowRoot.textContent, face.shadowRoot.children.length]"
    assert blank.evaluate(inside) == [False, "", 0]
    assert blank.evaluate("[face.offsetWidth, face.internals.role, face.internals.ariaLabel]") == [96, "none", None]


@pytest.mark.parametrize(
    ("size", "width"),
    [("48", 48), ("2em", 32), ("calc(1em + 4px)", 20), ("10vw", 100), ("nonsense", 96), ("-4", 96), ("", 96)],
)
def test_size_is_any_css_length(blank: Any, size: str, width: int) -> None:
    put(blank, {"size": size})
    assert blank.evaluate("[face.offsetWidth, face.offsetHeight]") == [width, width]
    blank.evaluate("face.size = 24")
    assert blank.evaluate("face.offsetWidth") == 24


@everywhere
def test_css_of_the_page_reaches_the_image(blank: Any) -> None:
    blank.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`
            avatar-face { --avatar-radius: 7px; --avatar-background: rgb(1, 2, 3); --avatar-placeholder: rgb(4, 5, 6) }
            avatar-face::part(image) { opacity: 0.5 } avatar-face::part(placeholder) { border: 2px solid }`);
          document.adoptedStyleSheets = [sheet];
        }"""
    )
    put(blank, {"name": "alice"})
    put(blank, {"name": "bob", "model": "/package.json"}, "broken")
    until(blank, "face.complete && brokenEvents.length")
    style = "getComputedStyle({}).{}"
    assert blank.evaluate(style.format("face", "borderRadius")) == "7px"
    assert blank.evaluate(style.format("face", "backgroundColor")) == "rgb(1, 2, 3)"
    assert blank.evaluate(style.format("face.shadowRoot.querySelector('canvas')", "opacity")) == "0.5"
    assert blank.evaluate(style.format("broken.shadowRoot.querySelector('span')", "backgroundColor")) == "rgb(4, 5, 6)"
    assert blank.evaluate(style.format("broken.shadowRoot.querySelector('span')", "borderTopWidth")) == "2px"


@pytest.mark.parametrize(("motion", "animation"), [("no-preference", "shimmer"), ("reduce", "none")])
def test_it_shimmers_while_it_loads(blank: Any, motion: str, animation: str) -> None:
    blank.emulate_media(reduced_motion=motion)
    blank.route("**/*.onnx", lambda route: None)  # never comes
    put(blank, {"name": "alice"})
    until(blank, "face.shadowRoot.querySelector('.loading') !== null")
    assert blank.evaluate("getComputedStyle(face.shadowRoot.querySelector('.loading')).animationName") == animation


@everywhere
@pytest.mark.parametrize(
    ("attributes", "code", "letter"),
    [
        ({"name": "carol", "truncation": "9"}, "argument", "C"),
        ({"name": "دانا", "truncation": "x"}, "argument", "د"),
        ({"name": "👩‍🚀 eve", "truncation": "9"}, "argument", "👩‍🚀"),
        ({"name": "dave", "model": "/missing.onnx"}, "unreachable", "D"),
        ({"name": "erin", "model": "/package.json"}, "not-a-model", "E"),
        ({"name": "", "model": "/package.json"}, "not-a-model", "?"),
    ],
)
def test_what_cannot_be_drawn_shows_a_letter_and_says_why(
    blank: Any, attributes: dict[str, str], code: str, letter: str
) -> None:
    put(blank, attributes)
    until(blank, "faceEvents.length === 1")
    shown = blank.evaluate("[faceEvents[0], face.shadowRoot.textContent, face.complete]")
    assert shown == [["error", code], letter, False]
    blank.complaints[:] = [text for text in blank.complaints if "404" not in text]  # the browser's own


def test_a_failed_face_can_be_tried_again(blank: Any) -> None:
    blank.route("**/*.onnx", lambda route: route.abort())
    put(blank, {"name": "alice"})
    until(blank, "faceEvents.length === 1")
    assert blank.evaluate("faceEvents[0]") == ["error", "unreachable"]
    blank.unroute("**/*.onnx")
    blank.evaluate("face.reload()")
    until(blank, "face.complete")
    assert is_face_of(blank, "alice")
    blank.complaints.clear()  # the browser reports the failed request


@everywhere
def test_moved_cloned_and_adopted_faces_stay(blank: Any) -> None:
    put(blank, {"name": "alice", "size": "40"})
    until(blank, "face.complete")
    blank.evaluate("document.body.prepend(document.createElement('p'), face) ?? 0")
    assert is_face_of(blank, "alice")
    blank.evaluate("document.body.append((window.clone = face.cloneNode(true))) ?? 0")
    until(blank, "clone.complete")
    assert is_face_of(blank, "alice", "clone")
    blank.evaluate(
        """() => {
          const frame = document.createElement("iframe");
          document.body.append(frame);
          frame.contentDocument.body.append(face);
        }"""
    )
    assert is_face_of(blank, "alice")
    assert blank.evaluate("face.getBoundingClientRect().width") == 40
    assert blank.evaluate("faceEvents.length") == 1


@everywhere
def test_alt_is_what_is_said(blank: Any) -> None:
    put(blank, {"name": "alice", "alt": "Alice herself"})
    assert blank.evaluate("face.internals.ariaLabel") == "Alice herself"
    blank.evaluate("face.alt = ''")
    assert blank.evaluate("[face.internals.role, face.internals.ariaHidden]") == ["none", "true"]


def test_a_page_in_forced_colours_still_shows_where_faces_will_be(blank: Any) -> None:
    blank.emulate_media(forced_colors="active")
    put(blank, {"name": "alice", "model": "/package.json"})
    until(blank, "faceEvents.length === 1")
    assert blank.evaluate("getComputedStyle(face.shadowRoot.querySelector('span')).outlineStyle") == "solid"


@everywhere
def test_the_box_of_a_server_does_not_move_when_the_face_comes(page: Any, site: str) -> None:
    page.goto(f"{site}/demo/demo.css")
    page.evaluate(
        """async () => {
          const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/src/element.css" });
          const loaded = new Promise((done) => (link.onload = done));
          document.body.replaceChildren(link);
          for (const style of [[], ["inline-size", "3rem"]]) {
            const face = document.createElement("avatar-face");
            face.setAttribute("name", "alice");
            if (style.length) face.style.setProperty(...style);
            document.body.append(face);
          }
          await loaded;
        }"""
    )
    boxes = "Array.from(document.querySelectorAll('avatar-face'), (face) => face.getBoundingClientRect().toJSON())"
    before = page.evaluate(boxes)
    assert [box["width"] for box in before] == [96, 48]
    define(page)
    until(page, "Array.from(document.querySelectorAll('avatar-face')).every((face) => face.complete)")
    assert page.evaluate(boxes) == before


def test_faces_that_left_the_screen_are_not_waited_for(blank: Any) -> None:
    blank.evaluate(
        """() => {
          window.drawn = 0;
          document.addEventListener("load", () => window.drawn++, true);
          const box = document.createElement("div");
          box.append(...Array.from({ length: 5000 }, (_, i) => {
            const face = document.createElement("avatar-face");
            face.name = `scroll/${i}`;
            return face;
          }));
          document.body.append(box);
        }"""
    )
    frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    height = blank.evaluate("document.documentElement.scrollHeight")
    for at in range(0, height, 1500):
        blank.evaluate(f"scrollTo(0, {at}), {frames}")
    blank.evaluate(f"scrollTo(0, {height}), {frames}")
    until(blank, "document.body.lastChild.lastChild.complete")
    assert blank.evaluate("drawn") < 2500


@everywhere
def test_webp_is_written_where_the_browser_can(blank: Any) -> None:
    def cannot(kind: str) -> list[str]:
        return ["OutputError", "format", f"this browser cannot write {kind}"]

    write = """async (type) => {
      const { AvatarGenerator, toBlob } = await import("/src/index.js");
      const generator = await AvatarGenerator.load();
      const [image] = await generator.generate(["alice"]);
      return toBlob(image, type).then(
        (blob) => [blob.type, blob.size > 100],
        ({ name, code, message }) => [name, code, message],
      );
    }"""
    assert blank.evaluate(write, "image/webp") in (["image/webp", True], cannot("image/webp"))  # Safari's cannot
    assert blank.evaluate(write, "image/tiff") == cannot("image/tiff")
