"""Hostile metadata, picture texts, pictures, lists of names and options: `pytest -m fuzz`."""

import io
import json
import random
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from avatar_runtime import AvatarError, AvatarGenerator, ModelSpec
from avatar_runtime.command.cli import main
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.model_file.metadata import KEY
from avatar_runtime.output.bulk import file_stems, read_names
from avatar_runtime.output.picture import Picture, read_text
from avatar_runtime.output.reproduction import reproduce
from avatar_runtime.ranking import Choice
from fuzz.mutations import mutated

METADATA, TEXTS, PICTURES, LISTS, OPTIONS = 15_000, 20_000, 10_000, 5_000, 3_000
"""How many of each: 53,000."""
SECONDS, KIBIBYTES = 10, 2**20

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]  # Pillow warns of much that it then refuses


@pytest.fixture(scope="module")
def generator(tiny_model: Path) -> AvatarGenerator:
    return AvatarGenerator.load(tiny_model, threads=1)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIBIBYTES


def try_all(count: int, make: Callable[[random.Random], Any], use: Callable[[Any], object]) -> None:
    """No input takes over 10 s, and what is refused is refused by an AvatarError."""
    rng, refused = random.Random(0), 0
    for i in range(count):
        hostile = make(rng)
        signal.alarm(SECONDS)  # nobody catches it: it ends the run
        try:
            use(hostile)
        except AvatarError:
            refused += 1
        except BaseException as err:
            pytest.fail(f"input {i}: {hostile!r}: {err!r}")
    signal.alarm(0)
    assert 0 < refused < count


def test_metadata(generator: AvatarGenerator) -> None:
    sound = generator.spec.to_metadata()[KEY].encode()
    try_all(
        METADATA,
        lambda rng: mutated(sound, rng).decode("utf-8", "surrogateescape"),
        lambda metadata: ModelSpec.from_metadata({KEY: metadata}),
    )


def test_texts_of_pictures(generator: AvatarGenerator) -> None:
    choice = Choice((0, 3), 4, "ab" * 32)
    pictures = [
        Picture(("alice", "アリス"), 0.5, Portrait(64, circle=True, background="#fc0"), columns=2, choice=choice),
        Picture(("alice", "bob"), frames=24),
    ]
    texts = [json.dumps(picture.text(generator)).encode() for picture in pictures]

    try_all(
        TEXTS,
        lambda rng: mutated(rng.choice(texts), rng).decode("utf-8", "surrogateescape"),
        lambda text: read_text(text)[0].size(32),
    )


def test_pictures(tmp_path: Path, generator: AvatarGenerator) -> None:
    grid, morph = Picture(("alice", "bob")), Picture(("alice", "bob"), frames=3)
    sound = [(e, grid.render(generator, e)) for e in (".png", ".webp", ".jpg")]
    sound += [(e, morph.render(generator, e)) for e in (".gif", ".webp", ".png")]

    def make(rng: random.Random) -> Path:
        extension, data = rng.choice(sound)
        path = tmp_path / f"a{extension}"
        path.write_bytes(mutated(data, rng))
        return path

    try_all(PICTURES, make, lambda path: reproduce(path, generator))


def test_lists_of_names() -> None:
    sound = "alice\r\nアリス\n\n../../etc/passwd\nCON\n😀".encode()

    def use(data: bytes) -> None:
        names = list(read_names(io.BytesIO(data), "names"))
        stems = file_stems(names)
        assert len(set(stems)) == len(set(names))
        assert not any(set(stem) & set('/\\:*?"<>|\0') or stem.startswith(".") for stem in stems)

    try_all(LISTS, lambda rng: mutated(sound, rng), use)


def test_options(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("alice\n")
    # What a command line can hold: no NUL, and bytes that are no UTF-8 as Python reads them.
    values = ["", "-", "--", "0", "-1", "1", "2", "3/2", "1/2", "9" * 5000, "nan", "1e999", "²", "a\udcff"]
    values += ["%s", "../x", "x" * 5000, ".", "names.txt", "a.png", "a.gif", "#fff", "rgb(1,2", "png", "hsl(1,2%,3%)"]
    options = [option.opts[0] for option in main.params if option.opts[0] not in ("--model", "--version")]
    seen = set()
    rng = random.Random(0)
    for i in range(OPTIONS):
        line = [word for _ in range(rng.randrange(1, 6)) for word in (rng.choice(options), rng.choice(values))]
        signal.alarm(SECONDS)
        result = CliRunner().invoke(main, ["--model", str(tiny_model), *line], input=b"alice\n\xff\n")
        assert isinstance(result.exception, SystemExit | None), (i, line, result.exception)
        seen.add(result.exit_code)
    signal.alarm(0)
    assert seen == {0, 1, 2}
    assert not list(tmp_path.rglob("*.tmp.*"))
