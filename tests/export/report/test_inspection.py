import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from avatar_export.cli import main
from avatar_runtime.model_file.metadata import ModelSpec
from tiny_model import write_tiny_model


def inspected(path: Path) -> Result:
    return CliRunner().invoke(main, ["--inspect", str(path)])


@pytest.mark.parametrize(
    ("output", "shown"), [("uint8", "images uint8 [N, 32, 32, 3]"), ("float32", "image float32 [N, 3, 32, 32]")]
)
def test_the_metadata_is_shown_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, shown: str
) -> None:
    path = tmp_path / "tiny.onnx"
    write_tiny_model(path, output=output)
    for heavy in ("mindspore", "onnx"):
        monkeypatch.setitem(sys.modules, heavy, None)
    result = inspected(path)
    assert result.exit_code == 0, result.output
    for text in (
        shown,
        "z float32 [N, 100]",
        "fp32",
        "fold_batch_norm",
        "0" * 64,
        "random weights for tests",
        "アリス",
    ):
        assert text in result.output
    assert "0 levels off on this machine, 1 allowed" in result.output


def rewrite_metadata(path: Path, spec: ModelSpec) -> None:
    model = onnx.load(path)
    onnx.helper.set_model_props(model, spec.to_metadata())
    onnx.save(model, path)


def test_a_failed_golden_check_is_told_beside_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    spec = write_tiny_model(path)
    assert spec.golden is not None
    png = spec.golden.png
    rewrite_metadata(path, replace(spec, golden=replace(spec.golden, png=(*png[1:], png[0]))))
    assert "FAILED" in inspected(path).output


def test_metadata_cannot_move_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    rewrite_metadata(path, replace(write_tiny_model(path), name="a\x1b[2Jb\nlicence MIT"))
    assert r"a\x1b[2Jb\nlicence MIT" in inspected(path).output


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.onnx").write_text("a letter to a friend\n")
    write_tiny_model(tmp_path / "bare.onnx")
    model = onnx.load(tmp_path / "bare.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    for name in ("letter.onnx", "bare.onnx", "missing.onnx"):
        result = inspected(tmp_path / name)
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: {tmp_path / name}")
        assert result.output.count("\n") == 1
