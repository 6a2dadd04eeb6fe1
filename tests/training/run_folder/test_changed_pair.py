from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from avatar_runtime.errors import OutputError
from avatar_training.errors import TrainingError
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.run_folder.record import read_record

RECORD = {"config": {"data": "faces.zip", "steps": 1}, "dataset": {"images": 1, "sha256": "0"}}


def test_a_pair_is_there_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    generator, discriminator = {"weight": np.ones((2, 3), np.float32)}, {"steps": np.array(7)}
    with new_folder(tmp_path / "pair") as folder:
        write_pair(folder, generator, discriminator, RECORD)
        assert not (tmp_path / "pair").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]
    np.testing.assert_array_equal(checkpoint.read(tmp_path / "pair" / "generator.ckpt")["weight"], generator["weight"])
    assert checkpoint.read(tmp_path / "pair" / "discriminator.ckpt")["steps"] == 7
    assert read_record(tmp_path / "pair") == RECORD


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_an_interrupted_block_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with suppress(error), new_folder(tmp_path / "pair") as folder:
        (folder / "generator.ckpt").write_bytes(b"half")
        raise error
    assert not list(tmp_path.iterdir())


def test_what_a_killed_command_left_is_taken_away(tmp_path: Path) -> None:
    left = tmp_path / ".pair.partial"
    left.mkdir()
    (left / "generator.ckpt").write_bytes(b"half")
    with new_folder(tmp_path / "pair") as folder:
        assert not list(folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]


def test_a_path_that_cannot_be_used_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, error in ((tmp_path / "file", TrainingError), (tmp_path / "file" / "pair", OutputError)):
        with pytest.raises(error), new_folder(path):
            pytest.fail("the work began")
