"""Applications that know Gravatar or DiceBear get our faces from the addresses that they ask for."""

import csv
import io
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from avatar_runtime import AvatarGenerator
from avatar_runtime.errors import InputError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.app import create_app

with Path(__file__).with_name("application_requests.tsv").open(encoding="utf-8") as lines:
    _, *REQUESTS = csv.reader(lines, delimiter="\t")


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_app(compatible=["gravatar", "dicebear"]))


@pytest.mark.parametrize(("application", "source", "address", "name", "size"), REQUESTS)
def test_what_an_application_asks_for(
    client: TestClient, application: str, source: str, address: str, name: str, size: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    generator = AvatarGenerator.load()
    portrait = Portrait() if size == "the model's" else Portrait(int(size))
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == (portrait.size or generator.spec.image_size,) * 2
    extension = f".{answer.headers['content-type'][6:]}"
    assert answer.content == Picture((name,), portrait=portrait).render(generator, extension)
    assert answer.headers["cache-control"] == "public, max-age=300"


def test_nothing_of_it_is_there_unless_asked_for(tiny_model: Path) -> None:
    client = TestClient(create_app(tiny_model))
    for _, _, address, _, _ in REQUESTS:
        if ".jpg" not in address:  # that is the avatar of the name avatar/…
            assert client.get(address).status_code == 404
    with pytest.raises(InputError, match="'gravatr' is not a service to be compatible with; choose gravatar, dicebear"):
        create_app(tiny_model, compatible=["gravatr"])


def test_whoever_forces_the_default_gets_it(client: TestClient) -> None:
    address = "/avatar/c160f8cc69a4f0bf2b0362752353d060"
    for query, status in (("d=404&f=y", 404), ("d=404", 200), ("f=y", 200), ("s=x", 400), ("s=99999", 200)):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == status
        assert (answer.headers["cache-control"] == "no-store") == (status != 200)
    assert client.get("/avatar/c160f8").status_code == 404
    assert client.get(address, headers={"Accept": "image/webp"}).headers["vary"] == "Accept"


def test_an_svg_is_a_png_only_where_that_is_asked_for(client: TestClient, tiny_model: Path) -> None:
    refused = client.get("/7.x/pixel-art/svg?seed=alice")
    assert refused.status_code == 400
    assert "--compatible dicebear-svg sends a PNG instead" in refused.text
    answer = TestClient(create_app(tiny_model, compatible=["dicebear-svg"])).get("/7.x/pixel-art/svg?seed=alice")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == Picture(("alice",)).render(AvatarGenerator.load(tiny_model), ".png")


def test_dicebears_circle_and_background(client: TestClient) -> None:
    generator = AvatarGenerator.load()
    for query, portrait in (
        ("radius=50", Portrait(None, True)),
        ("radius=50&backgroundColor=B6E3F4,c0aede", Portrait(None, True, "#b6e3f4")),
        ("radius=50&backgroundColor=transparent", Portrait(None, True)),
        ("radius=10&backgroundColor=b6e3f4", Portrait()),
    ):
        expected = Picture(("alice",), portrait=portrait).render(generator, ".png")
        assert client.get(f"/7.x/lorelei/png?seed=alice&{query}").content == expected
    assert client.get("/7.x/lorelei/jpg?seed=alice&radius=50").status_code == 200
