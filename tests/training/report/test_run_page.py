"""report.html: one page that needs nothing else, of bounded size."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_training.config import TrainConfig
from avatar_training.report.recorder import Report
from avatar_training.report.run_page import MAX_FRAMES
from avatar_training.run_folder.environment import environment

VOID = {"meta", "img", "input", "path", "use"}


class Reader(HTMLParser):
    """Every element's name and attributes, and the text; fails where tags do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def make_run(out: Path, ticks: int, channels: int = 3, measured: bool = False, **changes: Any) -> Report:
    """What a run of ticks of 10 steps leaves, as far as the page reads it."""
    config = TrainConfig(**{"data": "faces.zip", "steps": 1000, "image_size": 32, "channels": channels, **changes})
    colours = np.random.default_rng(0).integers(0, 256, (64, 1, 1, channels), np.uint8)
    faces = np.tile(colours, (1, 32, 32, 1))
    report = Report(out)
    out.mkdir(parents=True)
    record = {"config": config.to_dict(), "dataset": {"images": 1234, "sha256": "feed"}}
    (out / "config.json").write_text(json.dumps({**record, "environment": environment("CPU in mixed precision")}))
    report.samples(faces[::-1])
    report.preview(0, faces)
    for tick in range(1, ticks):
        for step in range(10 * tick - 9, 10 * tick + 1):
            report.step(step=step, g_loss=2.5, d_loss=0.5, images_per_second=20.0)
        if measured:
            report.step(step=10 * tick, kid=0.1 / tick, kid_std=0.001, kid_network="abc")
            report.step(step=10 * tick, diversity=55.5)
        preview = out / "previews" / f"{10 * tick:08}.png"
        preview.write_bytes((out / "previews/00000000.png").read_bytes())
    report.page()
    return report


def frames(page: str) -> tuple[list[str], list[int]]:
    found = re.search(r"const frames = (\[.*?\]), steps = (\[.*?\]);", page)
    assert found is not None
    return json.loads(found[1]), json.loads(found[2])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_page_shows_the_run_and_needs_nothing_else(tmp_path: Path, channels: int) -> None:
    hostile = '<script>alert("$step")</script>.zip'
    make_run(tmp_path / "<b>run & $name", 6, channels, measured=True, data=hostile)
    page = (tmp_path / "<b>run & $name/report.html").read_text()
    read = Reader(page)
    for shown in ("50 of 1,000", "20.0 images/s", "0:12:40", "0.020", "CPU in mixed precision", "mindspore", "1,234"):
        assert shown in read.text
    assert hostile in read.text  # as text: the only script is the page's own
    assert [name for name, _ in read.elements].count("script") == 1
    sources = [attributes["src"] or "" for _, attributes in read.elements if "src" in attributes]
    assert len(sources) == 4  # the slider's, the animation, real and generated
    assert all(source.startswith("data:image/") for source in sources)
    assert "link" not in dict(read.elements)
    assert not re.search(r"@import|url\((?!#)|src=.https?:|fetch\(", page)
    pictures, steps = frames(page)
    assert steps == [0, 10, 20, 30, 40, 50]
    assert sources[0] == pictures[-1]
    assert [name for name, _ in read.elements].count("svg") == 4


def test_a_long_run_is_thinned_and_the_page_stays_small(tmp_path: Path) -> None:
    report = make_run(tmp_path / "run", 3)
    sizes = []
    for count in (2 * MAX_FRAMES, 20 * MAX_FRAMES):
        for tick in range(count):
            (tmp_path / "run/previews" / f"{10 * tick:08}.png").write_bytes(
                (tmp_path / "run/previews/00000000.png").read_bytes()
            )
        report.page()
        sizes.append((tmp_path / "run/report.html").stat().st_size)
        _, steps = frames((tmp_path / "run/report.html").read_text())
        assert (steps[0], steps[-1]) == (0, 10 * (count - 1))
        assert MAX_FRAMES / 2 <= len(steps) <= MAX_FRAMES + 1
        assert len(set(np.diff(steps[:-1]))) == 1
    assert sizes[1] < 1.1 * sizes[0]


def test_a_preview_that_a_rollback_drew_again_is_shown_anew(tmp_path: Path) -> None:
    report = make_run(tmp_path / "run", 3)
    before, _ = frames((tmp_path / "run/report.html").read_text())
    report.preview(10, np.full((64, 32, 32, 3), 200, np.uint8))
    after, _ = frames((tmp_path / "run/report.html").read_text())
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_real_and_generated_faces_are_laid_out_alike(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 2)
    sources = [a["src"] or "" for _, a in Reader((tmp_path / "run/report.html").read_text()).elements if "src" in a]
    colours = np.random.default_rng(0).integers(0, 256, (64, 3), np.uint8).astype(int)
    for source, expected in ((sources[2], colours[::-1]), (sources[3], colours)):
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as opened:
            pixels = np.asarray(opened.convert("RGB")).astype(int)
        assert pixels.shape == (3 * 32, 10 * 32, 3)
        for i in range(30):
            row, column = divmod(i, 10)
            assert np.abs(pixels[32 * row + 16, 32 * column + 16] - expected[i]).max() < 12


def test_a_run_without_measurements_or_environment_has_a_page_too(tmp_path: Path) -> None:
    report = make_run(tmp_path / "run", 1)
    record = json.loads((tmp_path / "run/config.json").read_text())
    del record["environment"]
    (tmp_path / "run/config.json").write_text(json.dumps(record))
    report.page()
    read = Reader((tmp_path / "run/report.html").read_text())
    assert "0 of 1,000" in read.text
    assert "--kid-network FILE.onnx" in read.text
