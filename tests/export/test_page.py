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
from avatar_export.formats.html_page import ORT_MODULE, ORT_WASM, bundle, write_page
from avatar_runtime import AvatarGenerator
from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.web_sources import web_sources
from tiny_model import tiny_original


@pytest.fixture
def ort(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules" / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    (folder / ORT_MODULE).write_text("export const InferenceSession = 1;")
    (folder / ORT_WASM).write_bytes(b"\0asm")
    return folder


@pytest.mark.parametrize("entry", ["src/worker.js", "demo/demo.js"])
def test_a_bundle_has_every_module_once_and_no_module_syntax(entry: str) -> None:
    script = bundle(web_sources() / entry)
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    declared = re.findall(r"^(?:const|let|class|(?:async )?function\*?) (\w+)", script, re.MULTILINE)
    assert len(declared) == len(set(declared)), "two files declare the same name"
    assert declared.index("sha256") < declared.index("latent") if "latent" in declared else "Engine" in declared


def test_a_page_needs_nothing_beside_it(ort: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert write_page(tiny_model, out, ort) == out.stat().st_size
    page = out.read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert page.count("</script>") == 5


def test_no_text_can_end_its_script(
    ort: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ort / ORT_MODULE).write_text('export const text = "</script><script>alert(1)</script>";')
    monkeypatch.setattr(html_page, "_START", 'const a = "</SCRIPT><!--", b = /<\\/script>/;')
    write_page(tiny_model, tmp_path / "page.html", ort)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.lower().count("</script>") == 5
    assert "alert(1)" not in page
    assert 'const a = "\\x3C/SCRIPT>\\x3C!--"' in page


def test_onnxruntime_web_is_found_in_node_modules_above(
    ort: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert write_page(tiny_model, Path("page.html")) > 0


def test_without_onnxruntime_web_it_says_how_to_get_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="npm install onnxruntime-web"):
        write_page(tiny_model, Path("page.html"))
    with pytest.raises(InputError, match="no dist folder"):
        write_page(tiny_model, Path("page.html"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_none_is_refused(ort: Path, tmp_path: Path) -> None:
    model = tmp_path / "no.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        write_page(model, tmp_path / "page.html", ort)
    assert not (tmp_path / "page.html").exists()


def test_the_command_makes_a_page_of_a_checkpoint(ort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mindspore")  # the command compares what it makes
    original = tiny_original()
    monkeypatch.setattr(exporter, "open_original", lambda *_: original)
    monkeypatch.chdir(tmp_path)
    command = ["--target", "html", "page.html", "--checkpoint", "any.ckpt"]
    random = [text for limit in ("max_levels", "mean_levels") for text in ("--tolerance", limit, "99")]
    result = CliRunner().invoke(main, [*command, *random, "--tolerance", "psnr", "20"])
    assert result.exit_code == 0, result.output
    assert "page.html: 32x32x3, latent 7, int8" in result.output
    page = (tmp_path / "page.html").read_text("utf-8")
    inside = re.search(r'id="model">([^<]+)<', page)
    assert inside is not None
    (tmp_path / "inside.onnx").write_bytes(gzip.decompress(base64.b64decode(inside[1])))
    assert AvatarGenerator.load(tmp_path / "inside.onnx").spec.name == "page"

    (tmp_path / "page.html").unlink()
    refused = CliRunner().invoke(main, command)  # random weights are not within the tolerance of int8
    assert (refused.exit_code, "differs from MindSpore" in refused.output) == (1, True)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), "npm install onnxruntime-web"), (("--ort", "."), "no dist folder"), (("--precision", "fp32"), "--precision")],
)
def test_the_command_refuses_what_makes_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], shown: str
) -> None:
    pytest.importorskip("mindspore")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["--target", "html", "page.html", "--checkpoint", "any.ckpt", *options])
    assert result.exit_code == 2
    assert shown in result.output
    assert list(tmp_path.iterdir()) == []
