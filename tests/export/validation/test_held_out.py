"""The latents of the final comparison decide nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from avatar_export import exporter
from avatar_export.exporter import Options, export_variant
from avatar_export.int8 import calibration
from avatar_export.source.original import Original
from avatar_export.validation import speed
from avatar_export.validation.parity import HELD_OUT, SELECTION, ParityError, ParityReport, compare
from avatar_export.variants import Variant
from tiny_model import tiny_original

RANDOM_WEIGHTS = Options({"max_levels": 99, "mean_levels": 9, "psnr": 20})
"""Limits for int8 of weights that nobody trained."""


@pytest.fixture(scope="module")
def original() -> Original:
    return tiny_original()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "latency", lambda networks, *_: {name: i + 1.0 for i, name in enumerate(networks)})


def graph(path: Path) -> bytes:
    return bytes(onnx.load(path).graph.SerializeToString())


def test_the_series_are_three() -> None:
    assert len({HELD_OUT, SELECTION, calibration.SERIES}) == 3


def test_other_latents_in_the_verdict_leave_the_model_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: Original
) -> None:
    def exported(name: str) -> Any:
        path = tmp_path / f"{name}.onnx"
        made = export_variant(original, Variant(precision="auto"), path, RANDOM_WEIGHTS)
        return made, graph(path)

    first, model = exported("first")
    assert first.metadata.precision == "int8"
    assert first.metadata.parity["series"] == HELD_OUT

    def elsewhere(*arguments: Any, **options: Any) -> ParityReport:
        return compare(*arguments, **{"series_name": "elsewhere", **options})

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "compare", elsewhere)
        second, same = exported("second")
    assert second.parity.series == "elsewhere"
    assert second.parity.level_histogram != first.parity.level_histogram
    assert (same, second.rejected) == (model, first.rejected)

    monkeypatch.setattr(calibration, "SERIES", "elsewhere")
    _, other = exported("third")  # it is the calibration that makes the model
    assert other != model


def test_a_precision_that_fails_the_verdict_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: Original
) -> None:
    def unlucky(*arguments: Any, **options: Any) -> ParityReport:
        report = compare(*arguments, **options)
        return report if report.series == SELECTION else replace(report, max_difference=255.0)

    monkeypatch.setattr(exporter, "compare", unlucky)
    with pytest.raises(ParityError, match="up to 255 off"):
        export_variant(original, Variant(precision="auto"), tmp_path / "x.onnx", RANDOM_WEIGHTS)
    assert not list(tmp_path.iterdir())
