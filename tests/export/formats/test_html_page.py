"""The single-file page, as far as no browser is needed: tests/web/test_browser.py opens it in one."""

import base64
import gzip
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from avatar_export import exporter
from avatar_export.cli import main
from avatar_export.formats import html_page
from avatar_export.formats.html_page import write_page
from avatar_runtime import AvatarGenerator
from avatar_runtime.errors import ModelFileError
from tiny_model import tiny_original


def test_a_page_needs_nothing_beside_it(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert write_page(tiny_model, out) == out.stat().st_size
    page = out.read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert page.count("</script>") == 2


def test_no_text_can_end_its_script(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for text in ("sound", "</script><script>alert(1)</SCRIPT ><!--"):
        monkeypatch.setattr(html_page, "bundle", lambda *_, text=text: f'const text = "{text}";')
        write_page(tiny_model, tmp_path / "page.html")
        pages.append((tmp_path / "page.html").read_text("utf-8").lower())
    sound, hostile = pages
    assert hostile.count("</script") == sound.count("</script")
    assert "<!--" not in hostile
    assert 'const text = "\\x3c/script><script>alert(1)\\x3c/script >\\x3c!--"' in hostile


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "no.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        write_page(model, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_command_makes_a_page_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mindspore")  # the command compares what it makes
    original = tiny_original()
    monkeypatch.setattr(exporter, "open_original", lambda *_: original)
    monkeypatch.chdir(tmp_path)
    command = ["--target", "html", "page.html", "--checkpoint", "any.ckpt"]
    random = [text for limit in ("max_levels", "mean_levels") for text in ("--tolerance", limit, "99")]
    result = CliRunner().invoke(main, [*command, *random, "--tolerance", "psnr", "20"])
    assert result.exit_code == 0, result.output
    assert "page.html: page@1, 32x32x3, latent 7, int8" in result.output
    page = (tmp_path / "page.html").read_text("utf-8")
    inside = re.search(r'id="model">([^<]+)<', page)
    assert inside is not None
    (tmp_path / "inside.onnx").write_bytes(gzip.decompress(base64.b85decode(inside[1].replace(",", "<"))))
    assert AvatarGenerator.load(tmp_path / "inside.onnx").spec.name == "page"

    (tmp_path / "page.html").unlink()
    refused = CliRunner().invoke(main, [*command, "--tolerance", "psnr", "99"])
    assert (refused.exit_code, "differs from MindSpore" in refused.output) == (1, True)
    assert not (tmp_path / "page.html").exists()
