import base64
import re
from html.parser import HTMLParser
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


class Page(HTMLParser):
    """The rows of cells, the pictures and all that points elsewhere in a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        for name, value in attrs:
            if name in ("src", "href"):
                (self.pictures if tag == "img" else self.links).append(value or "")

    def handle_data(self, data: str) -> None:
        if self.rows and data.strip():
            self.rows[-1].append(data.strip())


def test_the_page_shows_passes_parity_worst_latents_and_latency(tmp_path: Path, original: Original) -> None:
    options = Options(name=NAME, license=NAME, provenance=NAME, report=tmp_path / "deep" / "er")
    export = export_variant(original, Variant(), tmp_path / "x.onnx", options)
    page = Page(tmp_path / "deep/er/x.html")
    rows = {row[0]: row[1:] for row in page.rows if row}
    assert rows["plain graph"][0] == "12"
    assert rows["fold batch norm"][0] == "9"
    assert rows["project latent to gemm"][0] == "9"
    assert rows["split transposed convolution"][0] == "24"
    assert rows["append uint8 head"][0] == "30"
    flops = 2 * (7 * 8 * 16 + 16 * 8 * 4 * 16 + 64 * 4 * 2 * 16 + 256 * 2 * 3 * 16)
    assert rows["plain graph"][3] == f"{flops / 1e6:.1f}"
    assert f"{export.parity.level_histogram[0]:,}" in page.text
    assert "Within the tolerance" in page.text
    assert page.text.count("a &lt;/script&gt;&lt;b&gt;") == 4  # title, heading, licence, provenance
    assert "</script>" not in page.text
    assert "MindSpore" in page.text
    assert len(page.pictures) == 3 * 8
    assert not page.links
    assert all(picture.startswith("data:image/png;base64,") for picture in page.pictures)
    assert not re.search(r"https?://", page.text)


def test_a_refused_model_is_shown_with_its_differences_amplified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: Original
) -> None:
    monkeypatch.setattr(pipeline, "project_latent_to_gemm", mistaken)
    with pytest.raises(ParityError, match="differs from MindSpore"):
        export_variant(original, Variant(), tmp_path / "x.onnx", Options(report=tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["x.html"]
    page = Page(tmp_path / "x.html")
    assert re.search(r"Refused: up to \d+ off, more than 1", page.text)
    images = [from_png(base64.b64decode(picture.partition(",")[2])).astype(int) for picture in page.pictures]
    factor = int(re.search(r"difference, times (\d+)", page.text)[1])  # type: ignore[index]
    largest = [int(found) for found in re.findall(r"held-out/\d+: up to (\d+)", page.text)]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > 1
    for first, exported, difference, most in zip(images[::3], images[1::3], images[2::3], largest, strict=True):
        np.testing.assert_array_equal(difference, factor * np.abs(exported - first))
        assert np.abs(exported - first).max() == most
