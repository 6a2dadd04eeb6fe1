import base64
import re
from pathlib import Path

import numpy as np
import pytest

from avatar_export import pipeline
from avatar_export.exporter import Options, export_variant
from avatar_export.source.original import Original
from avatar_export.validation import speed
from avatar_export.validation.parity import ParityError
from avatar_export.variants import Variant
from avatar_runtime.imaging.encoding import from_png
from rewriting import mistaken
from tiny_model import tiny_original


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0)


@pytest.fixture(scope="module")
def original() -> Original:
    return tiny_original()


NAME = "a </script><b>"


def pictures(page: str) -> list[str]:
    """The addresses of its pictures."""
    return re.findall(r'<img [^>]*src="([^"]*)"', page)


def test_the_page_shows_passes_parity_worst_latents_and_latency(tmp_path: Path, original: Original) -> None:
    options = Options(name=NAME, license=NAME, provenance=NAME, report=tmp_path / "deep" / "er")
    export = export_variant(original, Variant(), tmp_path / "x.onnx", options)
    page = (tmp_path / "deep/er/x.html").read_text(encoding="utf-8")
    rows = {name: rest for _, name, *rest in (line.split("<td>") for line in page.splitlines() if "<td>" in line)}
    assert rows["plain graph"][0] == "12"
    assert rows["fold batch norm"][0] == "9"
    assert rows["project latent to gemm"][0] == "9"
    assert rows["split transposed convolution"][0] == "24"
    assert rows["append uint8 head"][0] == "30"
    flops = 2 * (7 * 8 * 16 + 16 * 8 * 4 * 16 + 64 * 4 * 2 * 16 + 256 * 2 * 3 * 16)
    assert rows["plain graph"][3] == f"{flops / 1e6:.1f}"
    assert f"{export.parity.level_histogram[0]:,}" in page
    assert "Within the tolerance" in page
    assert page.count("a &lt;/script&gt;&lt;b&gt;") == 4  # title, heading, licence, provenance
    assert "</script>" not in page
    assert "MindSpore" in page
    assert len(pictures(page)) == 3 * 8
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures(page))
    assert not re.search(r"https?://|(src|href)=(?!\"data:)", page)


def test_a_refused_model_is_shown_with_its_differences_amplified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: Original
) -> None:
    monkeypatch.setattr(pipeline, "project_latent_to_gemm", mistaken)
    with pytest.raises(ParityError, match="differs from MindSpore"):
        export_variant(original, Variant(), tmp_path / "x.onnx", Options(report=tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["x.html"]
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert re.search(r"Refused: up to \d+ off, more than 1", page)
    images = [from_png(base64.b64decode(picture.partition(",")[2])).astype(int) for picture in pictures(page)]
    factor = int(re.search(r"difference, times (\d+)", page)[1])  # type: ignore[index]
    largest = [int(found) for found in re.findall(r"held-out/\d+: up to (\d+)", page)]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > 1
    for first, exported, difference, most in zip(images[::3], images[1::3], images[2::3], largest, strict=True):
        np.testing.assert_array_equal(difference, factor * np.abs(exported - first))
        assert np.abs(exported - first).max() == most
