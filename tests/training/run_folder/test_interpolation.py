import json
from pathlib import Path

import mindspore
import numpy as np
from click.testing import Result

from avatar_training.run_folder.checkpoint import read, save

from ..conftest import avatar_train

RECORD = {"config": {"data": "faces.zip", "steps": 1}, "dataset": {"images": 1, "sha256": "0"}}


def write_pair(folder: Path, value: float, steps: int, shape: tuple[int, ...] = (2, 3)) -> None:
    folder.mkdir()
    weight = np.full(shape, value, np.float32)
    entries = {"generator.0.weight": weight, "steps": np.int64(steps)}
    save(folder / "generator.ckpt", {name: mindspore.Tensor(array) for name, array in entries.items()})
    save(folder / "discriminator.ckpt", {"discriminator.0.weight": mindspore.Tensor(weight * 10)})
    (folder / "config.json").write_text(json.dumps(RECORD))


def interpolate(folder: Path, *options: str) -> Result:
    pairs = [folder / name for name in ("start", "end")]
    return avatar_train("interpolate", *pairs, *options, "--out", folder / "between")


def test_weights_lie_between_the_two_pairs_and_counts_are_the_second_pairs(tmp_path: Path) -> None:
    write_pair(tmp_path / "start", 1, steps=5)
    write_pair(tmp_path / "end", 2, steps=9)
    assert interpolate(tmp_path, "--share", "0.75").exit_code == 0
    generator = read(tmp_path / "between" / "generator.ckpt")
    np.testing.assert_array_equal(generator["generator.0.weight"], np.full((2, 3), 1.75, np.float32))
    assert generator["steps"] == 9
    discriminator = read(tmp_path / "between" / "discriminator.ckpt")
    np.testing.assert_array_equal(discriminator["discriminator.0.weight"], np.full((2, 3), 17.5, np.float32))
    record = json.loads((tmp_path / "between" / "config.json").read_text())
    assert record["interpolation"] == {"start": "start", "end": "end", "share": 0.75}
    assert record["config"] == RECORD["config"]


def test_pairs_of_two_shapes_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    write_pair(tmp_path / "start", 1, steps=5)
    write_pair(tmp_path / "end", 2, steps=9, shape=(2, 4))
    result = interpolate(tmp_path)
    assert result.exit_code == 1
    assert "they differ in generator.0.weight" in result.output
    assert not (tmp_path / "between").exists()


def test_what_cannot_be_told_or_would_be_overwritten_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "start", 1, steps=5)
    write_pair(tmp_path / "end", 2, steps=9)
    (tmp_path / "end" / "config.json").unlink()
    assert "holds no config.json" in interpolate(tmp_path).output
    (tmp_path / "between").mkdir()
    assert "exists already" in interpolate(tmp_path).output
