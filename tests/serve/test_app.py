"""The HTTP application: what a browser, a cache and a stranger get from it."""

import asyncio
import hashlib
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from avatar_runtime import AvatarGenerator
from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.app import create_app
from avatar_runtime.serve.batching import Answer, Batcher
from avatar_runtime.serve.cache import PictureCache
from avatar_runtime.serve.negotiation import FORMATS
from tiny_model import tiny_weights, write_tiny_model

AVIF = pytest.mark.skipif(".avif" not in FORMATS, reason="this Pillow writes no AVIF")


@pytest.fixture
def client(tiny_model: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tiny_model)) as client:
        yield client


@pytest.fixture
def generator(tiny_model: Path) -> AvatarGenerator:
    return AvatarGenerator.load(tiny_model)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/alice.png", "alice"),
        ("/%E3%82%A2%E3%83%AA%E3%82%B9.png", "アリス"),
        ("/S/7.png", "S/7"),
        ("/S%2F7.png", "S/7"),
        ("/a.b.webp", "a.b"),
        ("/.png", ""),
        ("/%0A.png", "\n"),
        ("/a%0D%0A%00%7F%5C..%2F.png", "a\r\n\0\x7f\\../"),
        ("/%3Fsize=1%23%26.png", "?size=1#&"),
        ("/.png.png", ".png"),
        ("/%F0%9F%98%80%EF%BF%BD%E2%80%AE.png", "\U0001f600\ufffd\u202e"),
        ("/e%CC%81.png", "e\u0301"),
        ("/demo/x.png", "demo/x"),
        ("/grid.png", "grid"),
        ("/v1/tiny@1/alice.png", "alice"),
        ("/v1/tiny@1/S/7.png", "S/7"),
        ("/v1/tiny@1/grids/x.png", "grids/x"),
        ("/v1/tiny@1/v1/x.png", "v1/x"),
        ("/v1/tiny@1/.png", ""),
        ("/v1/tiny/alice.png", "alice"),
    ],
)
def test_a_path_is_a_name(client: TestClient, generator: AvatarGenerator, path: str, name: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content == Picture((name,)).render(generator, Path(path).suffix if name else ".png")


def test_the_bytes_are_those_of_the_command(client: TestClient, generator: AvatarGenerator) -> None:
    answer = client.get("/alice.webp?size=100&truncation=0.7&circle=1&background=%23fc0")
    picture = Picture(("alice",), 0.7, Portrait(100, True, "#fc0"))
    assert answer.content == picture.render(generator, ".webp")
    assert answer.headers["content-type"] == "image/webp"
    assert client.get("/bob.png").headers["etag"] != client.get("/alice.png").headers["etag"]


def test_a_grid(client: TestClient, generator: AvatarGenerator) -> None:
    answer = client.get("/v1/grids/tiny@1/x.png?count=6&columns=3&size=16")
    picture = Picture(tuple(f"x/{i}" for i in range(6)), portrait=Portrait(16), columns=3)
    assert answer.content == picture.render(generator, ".png")
    assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
    assert Image.open(io.BytesIO(client.get("/v1/grids/tiny/x.png").content)).size == (256, 256)


def test_only_an_address_with_a_models_id_may_be_kept_for_ever(client: TestClient) -> None:
    for path in ("/v1/tiny@1/alice.png", "/v1/tiny@1/alice", "/v1/grids/tiny@1/x"):
        assert client.get(path).headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in ("/alice.png", "/v1/tiny/alice.png", "/v1/grids/tiny/x.png"):
        assert client.get(path).headers["cache-control"] == "public, max-age=300"
    for path in ("/", "/openapi.json", "/v1/models", "/src/index.js"):
        assert client.get(path).headers["cache-control"] == "public, no-cache"


ADDRESSES = [
    "/alice.png",
    "/v1/tiny@1/alice",
    "/v1/tiny/alice.webp",
    "/v1/grids/tiny@1/x",
    "/v1/models",
    "/openapi.json",
    "/",
    "/src/embedded.js",
    "/model.onnx",
    "/healthz",
    "/readyz",
    "/metrics",
    f"/avatar/{'0' * 32}?s=80&d=404",
    "/7.x/anime-faces/png?seed=alice",
]
"""One of each kind."""


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_condition_is_met_or_said_to_fail_and_what_need_not_be_known_is_ignored(
    tiny_model: Path, path: str, method: str
) -> None:
    client = TestClient(create_app(tiny_model, compatible=["gravatar", "dicebear"]))

    def ask(**headers: str) -> httpx.Response:
        return client.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})

    whole = ask()
    tag = whole.headers.get("etag", '"none"')
    has_tag = "etag" in whole.headers
    assert has_tag != (path in ("/healthz", "/readyz", "/metrics"))
    assert ask(If_Match="*").status_code == 200
    assert ask(If_Match=f'"x", {tag}').status_code == (200 if has_tag else 412)
    for other in ('"x"', f"W/{tag}"):
        failed = ask(If_Match=other, If_None_Match=tag)
        assert (failed.status_code, failed.headers["cache-control"]) == (412, "no-store")
        assert int(failed.headers["content-length"]) > 0
        assert bool(failed.content) == (method == "GET")
    assert ask(If_Match="*", If_None_Match=tag).status_code == (304 if has_tag else 200)
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*") if has_tag else ():
        again = ask(If_None_Match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
        for name in ("cache-control", "vary"):
            assert again.headers.get(name) == whole.headers.get(name)
    long_ago, to_come = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    for headers in (
        {"If_None_Match": '"other"'},
        {"If_Unmodified_Since": long_ago},
        {"If_Modified_Since": to_come},
        {"Range": "bytes=0-9"},
        {"Range": "bytes=0-9", "If_Range": tag},
        {"Range": "bytes=999999999-"},
    ):
        answer = ask(**headers)
        assert (answer.status_code, answer.headers.get("etag", '"none"')) == (200, tag)
        assert answer.content == whole.content or not has_tag


@pytest.mark.parametrize("path", ["/nothing", "/alice.png?size=0", "/v1/tiny@9/alice"])
def test_what_is_not_there_is_not_there_under_any_condition(client: TestClient, path: str) -> None:
    status = client.get(path).status_code
    assert status in (400, 404)
    for condition in ("If-Match", "If-None-Match"):
        assert client.get(path, headers={condition: "*"}).status_code == status


@pytest.mark.parametrize("path", [*ADDRESSES[:-2], "/nothing", "/alice.png?size=0"])
def test_head_says_what_get_would_send(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    differing = {name for name, text in head.headers.items() if whole.headers.get(name) != text}
    assert differing == {"x-request-id"} or path == "/metrics"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/alice.png?size=0", "size must be"),
        ("/alice.png?size=1e9", "size must be"),
        ("/alice.png?truncation=3", "truncation"),
        ("/alice.png?truncation=nan", "truncation"),
        ("/alice.png?size=15", "size must be a whole number from 16 to 1024, not '15'"),
        ("/alice.png?size=1025", "size must be"),
        ("/alice.png?size=%2B64", "size must be"),
        ("/alice.png?size=%D9%A3%D9%A2", "size must be"),
        ("/alice.png?size", "size must be"),
        ("/alice.png?truncation=1_0", "truncation must be"),
        ("/alice.png?truncation=infinity", "truncation must be"),
        ("/alice.png?background=reddish", "colour"),
        ("/alice.png?background=rgb(1,2,3)", "background must be a colour such as white or ffcc00"),
        ("/alice.png?fmt=png", "the address ends in .png and has fmt=png; leave one of them out"),
        ("/v1/tiny@1/alice?fmt=gif", "fmt must be one of png, webp, jpg"),
        ("/v1/tiny@1/alice?fmt=", "fmt must be one of"),
        ("/v1/tiny@1/alice.svg", "this service makes no .svg, but .png, .webp"),
        ("/alice.png?size=%", "write the sign itself as %25"),
        ("/alice.png?size=%zz", "write the sign itself as %25"),
        ("/alice.png?circle=maybe", "circle must be 1 or 0, not 'maybe'"),
        ("/alice.png?circle=1&background=", "in an address # is left out or written %23, as in background=fc0"),
        ("/alice.png?sise=9", "there is no option 'sise'; there are size, truncation, circle, background"),
        ("/alice.png?utm_source=x", "there is no option 'utm_source'"),
        ("/alice.png?size=9&size=8", "size is given twice"),
        ("/alice.png?count=9", "there is no option 'count'"),
        ("/v1/grids/tiny@1/x?sise=9", "'sise'; there are size, truncation, circle, background, fmt, count"),
        ("/alice.png?%ed%a0%80=1", "not UTF-8"),
        ("/v1/grids/tiny@1/x?count=101", "count must be"),
        ("/v1/grids/tiny@1/x?size=129", "size must be a whole number from 16 to 128"),
        ("/v1/grids/tiny@1/" + "x" * 201, "seed has 201 characters"),
        ("/" + "x" * 201 + ".png", "name has 201 characters"),
        ("/v1/tiny@1/%ff", "not UTF-8"),
        ("/%ff.png", "not UTF-8"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(client: TestClient, path: str, words: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert words in answer.text
    assert answer.text.count("\n") == 1
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "portrait"),
    [
        ("circle=1", Portrait(circle=True)),
        ("circle=yes", Portrait(circle=True)),
        ("circle=no", Portrait()),
        ("circle=FALSE", Portrait()),
        ("background=fc0", Portrait(None, True, "#fc0")),
        ("circle=1&background=%23FC0", Portrait(None, True, "#fc0")),
        ("circle=1&background=Gold", Portrait(None, True, "gold")),
        ("circle=0&background=gold", Portrait()),
        ("circle=1&fmt=jpg", Portrait(None, True, "white")),
    ],
)
def test_circle_and_background(client: TestClient, generator: AvatarGenerator, query: str, portrait: Portrait) -> None:
    expected = Picture(("alice",), portrait=portrait).render(generator, ".jpg" if "jpg" in query else ".png")
    assert client.get(f"/v1/tiny@1/alice?{query}").content == expected


def test_a_model_that_is_deleted_is_still_the_one_that_is_served(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes())
    with TestClient(create_app(path)) as client:
        before = client.get("/alice.png").content
        path.write_bytes(b"another")
        path.unlink()
        assert client.get("/model.onnx").content == tiny_model.read_bytes()
        assert client.get("/alice.png").content == before


@pytest.mark.parametrize(
    "path",
    [
        "/alice",
        "/alice.gif",
        "/favicon.ico",
        "/package.json",
        "/demo/..%2fpackage.json",
        "/demo/%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "/src//etc/passwd",
        "/v1",
        "/v1/",
        "/v1/tiny@1",
        "/v1/tiny@1/",
        "/v1/grids/tiny@1",
        "/v1/tiny@2/alice.png",
        "/v1/grids/other@1/alice.png",
    ],
)
def test_there_is_nothing_else(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


def test_other_methods_are_refused(client: TestClient) -> None:
    answer = client.post("/alice.png", content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").text == client.get("/readyz").text == "ok\n"
    client.get("/alice.png")
    client.get("/alice.png?size=0")
    text = client.get("/metrics").text
    assert 'avatar_requests_total{status="200"} 1.0' in text
    assert 'avatar_requests_total{status="400"} 1.0' in text
    assert "avatar_batch_size_count 1.0" in text
    assert "avatar_under_way 0.0" in text
    client.get("/demo/main.js")
    client.get("/nothing")
    assert client.get("/metrics").text == text, "only pictures are counted"


def test_a_failure_of_ours_is_counted(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the model broke")

    app = create_app(tiny_model)
    monkeypatch.setattr(AvatarGenerator, "generate", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/alice.png", headers={"X-Request-Id": "abc"})
        assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")
        assert answer.text == "the server failed; its log has this request as abc\n"
        assert 'avatar_requests_total{status="500"} 1.0' in client.get("/metrics").text


def test_the_page_and_all_it_loads(client: TestClient, tiny_model: Path) -> None:
    page = client.get("/")
    assert "script-src 'self' 'wasm-unsafe-eval'" in page.headers["content-security-policy"]
    for address in ("demo/demo.css", "demo/main.js"):
        assert f'"{address}"' in page.text
        assert client.get(f"/{address}").status_code == 200
    for address in ("demo/demo.js", "src/index.js", "src/embedded.js", "sw.js"):
        assert "javascript" in client.get(f"/{address}").headers["content-type"]
    model = client.get("/model.onnx").content
    assert model == tiny_model.read_bytes()
    assert hashlib.sha256(model).hexdigest() in client.get("/src/embedded.js").text


def test_a_script_and_the_page_are_compressed_and_a_picture_is_not(client: TestClient) -> None:
    for path in ("/", "/src/embedded.js", "/openapi.json", "/demo/demo.css"):
        plain = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0"})
        zipped = client.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert "content-encoding" not in plain.headers
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.content == plain.content
        assert int(zipped.headers["content-length"]) < 0.8 * int(plain.headers["content-length"])
        assert zipped.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert zipped.headers["etag"] != plain.headers["etag"]
    for path in ("/alice.png", "/v1/tiny@1/alice.webp", "/model.onnx"):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("text/html", "image/png"),
        ("image/webp", "image/webp"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/webp"),
        ("image/webp;q=0.5, image/png", "image/png"),
        ("IMAGE/WEBP;q=0.5, image/png;q=0.4", "image/webp"),
        ("image/webp;q=0, */*", "image/png"),
        ("image/webp;q=nonsense", "image/png"),
        ("\xff;;;,,=", "image/png"),
        pytest.param("image/avif, image/png;q=0.9", "image/avif", marks=AVIF),
    ],
)
def test_the_accept_header_chooses_where_the_address_does_not(
    client: TestClient, accept: str | None, media_type: str
) -> None:
    headers = {b"Accept": (accept or "").encode("latin-1")}
    answer = client.get("/v1/tiny@1/a.b", headers=headers)
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    assert answer.content == client.get(f"/v1/tiny@1/a.b.{media_type[6:]}").content
    for path in ("/v1/tiny@1/a.b.png", "/v1/tiny@1/a.b?fmt=png"):
        fixed = client.get(path, headers=headers)
        assert fixed.headers["content-type"] == "image/png"
        assert "vary" not in fixed.headers


def test_pages_of_all_other_origins_may_use_the_pictures(client: TestClient) -> None:
    for path in ("/alice.png", "/v1/tiny@1/alice", "/alice.png?size=0", "/openapi.json"):
        for answer in (client.get(path), client.get(path, headers={"Origin": "https://a.example"})):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    for path in ("/metrics", "/healthz", "/readyz"):
        assert "access-control-allow-origin" not in client.get(path).headers
    question = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    asked = client.options("/alice.png", headers=question)
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert asked.headers["access-control-allow-origin"] == "*"


def test_or_only_those_that_are_named(tiny_model: Path) -> None:
    client = TestClient(create_app(tiny_model, origins=["https://a.example"], resource_policy="same-site"))
    ours = client.get("/alice.png", headers={"Origin": "https://a.example"})
    assert ours.headers["access-control-allow-origin"] == "https://a.example"
    for headers in ({"Origin": "https://b.example"}, {}):
        theirs = client.get("/alice.png", headers=headers)
        assert theirs.status_code == 200
        assert "access-control-allow-origin" not in theirs.headers
        assert theirs.headers["vary"] == ours.headers["vary"] == "Origin"
        assert theirs.headers["cross-origin-resource-policy"] == "same-site"


def test_a_request_has_an_id_and_a_line_in_the_log(tiny_model: Path) -> None:
    log: list[dict[str, Any]] = []
    client = TestClient(create_app(tiny_model, on_answer=log.append))
    client.get("/v1/tiny@1/al%20ice?size=16", headers={"X-Request-Id": "from-nginx-1", "User-Agent": "me"})
    answer = client.get("/nothing", headers={"X-Request-Id": "no id\t", "X-Forwarded-For": "192.0.2.1"})
    first, second = log
    assert {key: first[key] for key in ("request_id", "method", "address", "status", "user_agent")} == {
        "request_id": "from-nginx-1",
        "method": "GET",
        "address": "/v1/tiny@1/al%20ice?size=16",
        "status": 200,
        "user_agent": "me",
    }
    assert first["bytes"] == int(client.head("/v1/tiny@1/al%20ice?size=16").headers["content-length"])
    assert (second["status"], second["forwarded_for"]) == (404, "192.0.2.1")
    assert second["request_id"] == answer.headers["x-request-id"] != "no id\t"
    assert re.fullmatch("[0-9a-f]{16}", second["request_id"])


def test_below_a_prefix(tiny_model: Path) -> None:
    client = TestClient(create_app(tiny_model, prefix="/faces/"))
    plain = TestClient(create_app(tiny_model))
    for path in ("/alice.png", "/v1/tiny@1/alice.webp", "/", "/src/index.js", "/healthz"):
        assert client.get(f"/faces{path}").content == plain.get(path).content
    assert client.get("/faces/v1/tiny@1/alice.webp").headers["cache-control"].endswith("immutable")
    for path in ("/alice.png", "/facesalice.png", "/", "http://testserver//b.example/faces"):
        assert client.get(path).status_code == 404
    found = client.get("/faces", follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (308, "/faces/")


def test_a_new_model_changes_no_face_whose_address_has_an_id(tiny_model: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.onnx"
    write_tiny_model(newer, tiny_weights(seed=1), version=2)
    before, after = TestClient(create_app(tiny_model)), TestClient(create_app(newer, tiny_model))
    assert after.get("/v1/models").json() == {"models": [{"id": "tiny@2"}, {"id": "tiny@1"}]}
    for path in ("alice.png", "alice.webp?size=96&circle=1"):
        address = f"/v1/tiny@1/{path}"
        assert after.get(address).content == before.get(address).content
        assert after.get(f"/v1/tiny/{path}").content != before.get(address).content
        assert after.get(f"/{path}").content == after.get(f"/v1/tiny@2/{path}").content
    assert "tiny@1" in after.get("/openapi.json").text
    assert before.get("/v1/tiny@2/alice.png").status_code == 404


def test_models_of_two_sizes_are_served_side_by_side(tiny_model: Path) -> None:
    generators = AvatarGenerator.load("anime-faces-64"), AvatarGenerator.load(tiny_model)
    assert len({generator.spec.image_size for generator in generators}) == 2
    with TestClient(create_app("anime-faces-64", tiny_model)) as client:
        for generator in generators:
            id = generator.model_id
            answer = client.get(f"/v1/{id}/alice.png")
            assert answer.content == Picture(("alice",)).render(generator, ".png")
            assert client.get(f"/v1/{id.split('@')[0]}/alice.png").content == answer.content


def test_two_models_do_not_share_an_id(tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    write_tiny_model(other, tiny_weights(seed=1))
    with pytest.raises(InputError, match=r"other\.onnx and another model are both tiny@1: change a version"):
        create_app(tiny_model, other)
    assert TestClient(create_app(tiny_model, tiny_model)).get("/v1/models").json() == {"models": [{"id": "tiny@1"}]}


def test_what_is_under_way_is_finished_with_the_model_that_took_it(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes())
    app = create_app(path)

    async def reload_meanwhile() -> list[bytes]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            asking = [asyncio.create_task(client.get(f"/{i}.png")) for i in range(50)]
            await asyncio.sleep(0)
            write_tiny_model(path, tiny_weights(seed=1))
            await asyncio.gather(app.reload(), *asking)
            path.write_bytes(b"broken")
            with pytest.raises(ModelFileError):
                await app.reload()
            return [task.result().content for task in asking] + [(await client.get("/0.png")).content]

    *before, after = asyncio.run(reload_meanwhile())
    generator = AvatarGenerator.load(tiny_model)
    assert before == [Picture((str(i),)).render(generator, ".png") for i in range(50)]
    write_tiny_model(path, tiny_weights(seed=1))
    assert after == Picture(("0",)).render(AvatarGenerator.load(path), ".png")


def test_it_can_be_mounted_in_an_application_of_ones_own(tiny_model: Path) -> None:
    own = Starlette(routes=[Mount("/avatars", create_app(tiny_model))])
    client = TestClient(own)
    assert client.get("/avatars/alice.png").content == TestClient(create_app(tiny_model)).get("/alice.png").content
    assert client.get("/avatars/%ff.png").status_code == 400
    assert client.get("/avatars/").status_code == 200


def test_when_too_much_is_asked_for_at_once_it_says_so(tiny_model: Path) -> None:
    with TestClient(create_app(tiny_model, limit=8)) as client:
        answer = client.get("/v1/grids/tiny/x?count=9")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/v1/grids/tiny/x?count=8").status_code == 200


def drawn(batcher: Batcher, picture: Picture) -> "asyncio.Future[Answer | Exception]":
    future: asyncio.Future[Answer | Exception] = asyncio.get_running_loop().create_future()
    batcher.submit(picture, ".png", future.set_result)
    return future


def test_requests_that_come_together_are_drawn_together(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    batcher = Batcher(generator, 2, batches.append)
    pictures = [Picture((f"S/{i}",), 0.5 if i >= 150 else 1.0) for i in range(200)]

    async def ask() -> list[Answer | Exception]:
        return await asyncio.gather(*(drawn(batcher, picture) for picture in pictures))

    answers = asyncio.run(ask())
    batcher.close()
    assert sum(batches) == 200
    assert len(batches) <= 20, "by sixteens, except at the end and where the truncation changes"
    for picture, answer in zip(pictures, answers, strict=True):
        assert isinstance(answer, Answer)
        assert answer.data == picture.render(generator, ".png")


def test_a_few_are_shared_among_the_workers(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    both_draw = threading.Barrier(2, timeout=60)

    def on_batch(size: int) -> None:
        batches.append(size)
        both_draw.wait()

    batcher = Batcher(generator, 2, on_batch)

    async def ask() -> None:
        await asyncio.gather(*(drawn(batcher, Picture((f"S/{i}",))) for i in range(8)))

    asyncio.run(ask())
    batcher.close()
    assert batches == [4, 4]


def test_a_name_that_many_ask_for_is_drawn_once(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    answers = PictureCache(generator, 4, 2, batches.append)
    picture = Picture(("alice",))

    async def ask() -> None:
        tasks = [asyncio.create_task(answers.answer(picture, ".png")) for _ in range(50)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # the first client goes away
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert len(set(found[1:])) == 1
        assert await answers.answer(picture, ".png") == found[1]

    asyncio.run(ask())
    answers.close()
    assert batches == [1]
    assert answers.under_way == 0
    assert answers.cached > 0


def test_what_is_kept_is_bounded_however_small_the_pictures(
    generator: AvatarGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar_runtime.serve.cache.CACHE_BYTES", 100_000)
    answers = PictureCache(generator, 1000)

    async def ask() -> None:
        names = tuple(f"{'long' * 40}/{i}" for i in range(64))
        for size in range(1, 21):
            await answers.answer(Picture(names, portrait=Portrait(size)), ".jpg")

    asyncio.run(ask())
    answers.close()
    assert answers.cached <= 100_000
    assert 1 < len(answers._kept) <= 100_000 / (64 * 200)  # the names themselves count too


def test_a_failure_reaches_each_who_asked_and_nobody_after(generator: AvatarGenerator) -> None:
    answers = PictureCache(generator, 4)

    async def ask() -> None:
        closed, generator._session = generator._session, None
        asked = [answers.answer(Picture((name,)), ".png") for name in ("alice", "alice", "bob")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert ["clos" in str(error) for error in found] == [True, True, True]
        generator._session = closed
        await answers.answer(Picture(("alice",)), ".png")

    asyncio.run(ask())
    answers.close()
