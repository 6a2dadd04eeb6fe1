import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")

from benchmarks.studies.quality import main
from training.conftest import png, zipped


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 20 noisy pictures."""
    path = tmp_path_factory.mktemp("data") / "real.zip"
    path.write_bytes(zipped({f"{i}.png": png(i) for i in range(20)}))
    return path


def quality(folder: Path, real: Path, model: Path, *options: str) -> Result:
    arguments = [folder, "--data", real, "--model", model, "--faces", 12, "--real", 8, *options]
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def graded(folder: Path, grader: str, grades: dict[str, int]) -> None:
    about = {"model": "several", "grader": grader, "sheet": f"{grader}/0", "time": "2026-01-02T03:04:05Z"}
    lines = [json.dumps({"face": face, "grade": grade, **about}) for face, grade in grades.items()]
    with (folder / "grades.jsonl").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def test_faces_of_a_model_are_graded_among_real_ones_by_two_people(
    tmp_path: Path, real: Path, tiny_model: Path
) -> None:
    folder = tmp_path / "quality"
    first = quality(folder, real, tiny_model)
    assert first.exit_code == 0, first.output
    assert "wrote 20 faces" in first.output
    assert "nobody has graded" in first.output
    with np.load(folder / "faces.npz", allow_pickle=False) as saved:
        names, images = saved["names"].tolist(), saved["images"]
    assert images.shape == (20, 32, 32, 3)
    assert {f"real/{i}" for i in range(8)} | {f"tiny/{i}" for i in range(12)} == set(names)

    graded(folder, "ana", {name: 2 if name.startswith("real") else 0 for name in names})
    graded(folder, "ben", {name: 2 if name.startswith("real") or name == "tiny/3" else 0 for name in names})
    said = quality(folder, real, tiny_model).output
    assert "ana, real: 0% (0% to 32%) broken, 0% (0% to 32%) doubtful, 100% (68% to 100%) fine of 8 faces" in said
    assert "ben, tiny: 92% (65% to 99%) broken, 0% (0% to 24%) doubtful, 8% (1% to 35%) fine of 12 faces" in said
    assert "ana and ben agree on 95% of 20 faces, Cohen's kappa 0.90" in said


def test_too_few_real_faces_are_refused_and_leave_nothing(tmp_path: Path, real: Path, tiny_model: Path) -> None:
    result = quality(tmp_path / "quality", real, tiny_model, "--real", "21")
    assert result.exit_code == 1
    assert "holds 20 usable images, 21 are needed" in result.output
    assert not (tmp_path / "quality").exists()


def test_without_its_extra_the_study_names_the_pip_line(tmp_path: Path, real: Path, tiny_model: Path) -> None:
    folder = tmp_path / "quality"
    assert quality(folder, real, tiny_model).exit_code == 0
    graded(folder, "ana", {"tiny/0": 1})
    program = "import sys; sys.modules['scipy.stats'] = None; from benchmarks.studies.quality import main; main()"
    command = [sys.executable, "-c", program, str(folder), "--data", str(real)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert 'needs scipy.stats: pip install "avatar-edge[bench]"' in done.stderr
    assert done.stderr.count("\n") == 1
