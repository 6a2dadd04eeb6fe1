"""The HTTP application: what a browser, a cache and a stranger get from it."""

import asyncio
import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from avatar_runtime import AvatarGenerator
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.answers import Answers, BusyError
from avatar_runtime.serve.app import create_app
from avatar_runtime.serve.batching import Answer, Batcher


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
        ("/a%0Ab.png", "a\nb"),
        ("/%0A.png", "\n"),
        ("/a%0D%0A%00%7F%5C..%2F.png", "a\r\n\0\x7f\\../"),
        ("/..%2F..%2Fetc%2Fpasswd.png", "../../etc/passwd"),
        ("/100%25.png", "100%"),
        ("/%3Fsize=1%23%26.png", "?size=1#&"),
        ("/.png.png", ".png"),
        ("/%F0%9F%98%80%EF%BF%BD%E2%80%AE.png", "\U0001f600\ufffd\u202e"),
        ("/e%CC%81.png", "e\u0301"),
        ("/" + "%F0%9F%98%80" * 200 + ".png", "\U0001f600" * 200),
        ("/demo/x.png", "demo/x"),
        ("/grid.png", "grid"),
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


def test_a_grid(client: TestClient, generator: AvatarGenerator) -> None:
    answer = client.get("/grid.png?seed=x&count=6&columns=3&size=16")
    picture = Picture(tuple(f"x/{i}" for i in range(6)), portrait=Portrait(16), columns=3)
    assert answer.content == picture.render(generator, ".png")
    assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
    assert Image.open(io.BytesIO(client.get("/grid.png?seed=x").content)).size == (256, 256)


def test_an_answer_may_be_kept_for_ever_and_is_not_sent_twice(client: TestClient) -> None:
    first = client.get("/alice.png")
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = client.get("/alice.png", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/alice.png", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get("/bob.png").headers["etag"] != tag
    assert client.get("/alice.png?size=16").headers["etag"] != tag


def test_head_says_what_get_would_send(client: TestClient) -> None:
    head, whole = client.head("/alice.png"), client.get("/alice.png")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/alice.png?size=0", "size must be"),
        ("/alice.png?size=99999", "size must be"),
        ("/alice.png?size=1e9", "size must be"),
        ("/alice.png?truncation=3", "truncation"),
        ("/alice.png?truncation=nan", "truncation"),
        ("/alice.png?truncation=x", "truncation"),
        ("/alice.png?background=red", "circle"),
        ("/alice.png?circle=1&background=reddish", "colour"),
        ("/alice.jpg?circle=1", "transparency"),
        ("/alice.png?circle=maybe", "circle must be 1 or 0, not 'maybe'"),
        ("/alice.png?circle=1&background=", "in an address # is written %23, as in background=%23fc0"),
        ("/alice.png?sise=9", "there is no option 'sise'; there are size, truncation, circle, background"),
        ("/alice.png?utm_source=x", "there is no option 'utm_source'"),
        ("/alice.png?size=9&size=8", "size is given twice"),
        ("/alice.png?count=9", "count is for grid.png with a seed"),
        ("/grid.png?columns=9", "columns is for grid.png with a seed"),
        ("/grid.png?seed=x&sise=9", "there is no option 'sise'"),
        ("/alice.png?%ed%a0%80=1", "there is no option"),
        ("/grid.png?seed=x&count=100000", "count must be"),
        ("/grid.png?seed=x&count=256&size=1024", "4096 pixels"),
        ("/grid.png?seed=" + "x" * 201, "seed has 201 characters"),
        ("/" + "x" * 201 + ".png", "name has 201 characters"),
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
    ("value", "shape"), [("1", "circle"), ("yes", "circle"), ("no", "square"), ("FALSE", "square")]
)
def test_circle_means_what_it_says(client: TestClient, generator: AvatarGenerator, value: str, shape: str) -> None:
    picture = Picture(("alice",), portrait=Portrait(circle=shape == "circle"))
    assert client.get(f"/alice.png?circle={value}").content == picture.render(generator, ".png")


def test_a_model_that_is_deleted_is_still_the_one_that_is_served(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes())
    with TestClient(create_app(path)) as client:
        before = client.get("/alice.png").content
        path.write_bytes(b"another")
        path.unlink()
        assert client.get("/models/anime-faces-64.onnx").content == tiny_model.read_bytes()
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
    ],
)
def test_there_is_nothing_else(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_other_methods_are_refused(client: TestClient) -> None:
    answer = client.post("/alice.png", content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"
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

    monkeypatch.setattr(AvatarGenerator, "generate", fail)
    monkeypatch.setattr(AvatarGenerator, "verify", lambda _: None)
    with TestClient(create_app(tiny_model), raise_server_exceptions=False) as client:
        assert client.get("/alice.png").status_code == 500
        assert 'avatar_requests_total{status="500"} 1.0' in client.get("/metrics").text


def test_the_page_and_all_it_loads(client: TestClient, tiny_model: Path) -> None:
    page = client.get("/")
    assert "script-src 'self' 'wasm-unsafe-eval'" in page.headers["content-security-policy"]
    for address in ("demo/demo.css", "demo/main.js"):
        assert f'"{address}"' in page.text
        assert client.get(f"/{address}").status_code == 200
    for address in ("demo/demo.js", "src/index.js", "src/embedded.js", "sw.js"):
        assert "javascript" in client.get(f"/{address}").headers["content-type"]
    model = client.get("/models/anime-faces-64.onnx").content
    assert model == tiny_model.read_bytes()
    assert hashlib.sha256(model).hexdigest() in client.get("/src/embedded.js").text


def test_it_can_be_mounted_in_an_application_of_ones_own(tiny_model: Path) -> None:
    own = Starlette(routes=[Mount("/avatars", create_app(tiny_model))])
    client = TestClient(own)
    assert client.get("/avatars/alice.png").content == TestClient(create_app(tiny_model)).get("/alice.png").content
    assert client.get("/avatars/%ff.png").status_code == 400
    assert client.get("/avatars/").status_code == 200


def test_when_too_much_is_asked_for_at_once_it_says_so(tiny_model: Path) -> None:
    with TestClient(create_app(tiny_model, limit=8)) as client:
        answer = client.get("/grid.png?seed=x&count=9")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/grid.png?seed=x&count=8").status_code == 200


def test_requests_that_come_together_are_drawn_together(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    batcher = Batcher(generator, 2, batches.append)
    pictures = [Picture((f"S/{i}",), 0.5 if i >= 150 else 1.0) for i in range(200)]

    async def ask() -> list[Answer]:
        return await asyncio.gather(*(batcher.submit(picture, ".png") for picture in pictures))

    answers = asyncio.run(ask())
    batcher.close()
    assert sum(batches) == 200
    assert len(batches) <= 20, "by sixteens, except at the end and where the truncation changes"
    for picture, answer in zip(pictures, answers, strict=True):
        assert answer.data == picture.render(generator, ".png")


def test_a_few_are_shared_among_the_workers(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    both_draw = threading.Barrier(2, timeout=60)

    def on_batch(size: int) -> None:
        batches.append(size)
        both_draw.wait()

    batcher = Batcher(generator, 2, on_batch)

    async def ask() -> None:
        await asyncio.gather(*(batcher.submit(Picture((f"S/{i}",)), ".png") for i in range(8)))

    asyncio.run(ask())
    batcher.close()
    assert batches == [4, 4]


def test_a_name_that_many_ask_for_is_drawn_once(generator: AvatarGenerator) -> None:
    batches: list[int] = []
    answers = Answers(generator, 4, 2, batches.append)
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
    monkeypatch.setattr("avatar_runtime.serve.answers.CACHE_BYTES", 100_000)
    answers = Answers(generator, 1000)

    async def ask() -> None:
        names = tuple(f"{'long' * 40}/{i}" for i in range(64))
        for size in range(1, 21):
            await answers.answer(Picture(names, portrait=Portrait(size)), ".jpg")

    asyncio.run(ask())
    answers.close()
    assert answers.cached <= 100_000
    assert 1 < len(answers._kept) <= 100_000 / (64 * 200)  # the names themselves count too


def test_a_failure_reaches_each_who_asked_and_nobody_after(generator: AvatarGenerator) -> None:
    answers = Answers(generator, 4)

    async def ask() -> None:
        closed, generator._session = generator._session, None
        found = await asyncio.gather(
            *(answers.answer(Picture((name,)), ".png") for name in ("alice", "alice", "bob")), return_exceptions=True
        )
        assert ["clos" in str(error) for error in found] == [True, True, True]
        generator._session = closed
        await answers.answer(Picture(("alice",)), ".png")
        with pytest.raises(BusyError):
            await answers.answer(Picture(("a", "b", "c", "d", "e")), ".png")

    asyncio.run(ask())
    answers.close()
