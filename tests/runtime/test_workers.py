"""Many files at once: the same as one after the other, in order, lazily, and nothing half-written."""

import threading
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from avatar_runtime import AvatarGenerator, InputError, OutputError
from avatar_runtime.output.bulk import CHUNK_SIZE, Written, draw_files, numbered
from avatar_runtime.output.parallel import in_order

COUNT = 3 * CHUNK_SIZE + 1


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def written_by(generator: AvatarGenerator, folder: Path, workers: int | None, extension: str = ".png") -> list[Written]:
    return list(draw_files(generator, numbered("S", COUNT), folder, extension, workers=workers))


@pytest.mark.parametrize("extension", [".png", ".webp", ".jpg"])
def test_any_number_of_workers_writes_the_same_files_in_order(
    generator: AvatarGenerator, tmp_path: Path, extension: str
) -> None:
    alone = written_by(generator, tmp_path / "1", 1, extension)
    assert [file.path.name for file in alone] == [f"{i:02}{extension}" for i in range(COUNT)]
    assert len(contents(tmp_path / "1")) == COUNT
    for workers in (2, 5, None):
        together = written_by(generator, tmp_path / str(workers), workers, extension)
        assert [(file.path.name, file.sha256) for file in together] == [(file.path.name, file.sha256) for file in alone]
        assert contents(tmp_path / str(workers)) == contents(tmp_path / "1")


def test_files_are_drawn_lazily_and_may_be_endless(generator: AvatarGenerator, tmp_path: Path) -> None:
    taken = []

    def endless() -> Iterator[tuple[str, str]]:
        for i in count():
            taken.append(i)
            yield str(i), f"S/{i}"

    files = draw_files(generator, endless(), tmp_path / "new", workers=2)
    assert not taken
    assert not (tmp_path / "new").exists()
    first = list(islice(files, 3))
    del files
    assert [file.path.stem for file in first] == ["0", "1", "2"]
    assert len(taken) <= 5 * CHUNK_SIZE
    assert not list((tmp_path / "new").glob(".*"))
    threads = threading.active_count()
    assert len(list((tmp_path / "new").iterdir())) <= len(taken)
    assert threads == threading.active_count()


def test_a_name_that_cannot_be_drawn_ends_it_in_its_turn(generator: AvatarGenerator, tmp_path: Path) -> None:
    avatars: list[Any] = [*numbered("S", 2 * CHUNK_SIZE), ("bad", 7)]
    files = draw_files(generator, avatars, tmp_path, workers=2)
    assert len(list(islice(files, 2 * CHUNK_SIZE))) == 2 * CHUNK_SIZE
    with pytest.raises(InputError, match="a name must be a string, not 7"):
        next(files)


def test_a_file_that_cannot_be_written_ends_it_with_nothing_half_written(
    generator: AvatarGenerator, tmp_path: Path
) -> None:
    (tmp_path / "20.png").mkdir()
    with pytest.raises(OutputError, match=r"20\.png is a folder; name a file"):
        written_by(generator, tmp_path, 2)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("workers", [0, -1, 10**9])
def test_a_bad_number_of_workers_is_refused(generator: AvatarGenerator, tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=f"threads must be from 1 to 256, not {workers}"):
        written_by(generator, tmp_path / "new", workers)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_their_items(workers: int) -> None:
    slow_first = threading.Event()

    def work(i: int) -> int:
        if i == 0 and workers > 1:
            assert slow_first.wait(10)
        elif i == 1:
            slow_first.set()
        return i * i

    assert list(in_order(work, range(20), workers)) == [i * i for i in range(20)]
