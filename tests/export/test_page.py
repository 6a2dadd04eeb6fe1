"""The single-file page, as far as no browser is needed: tests/web/test_browser.py opens it in one."""

import re
from pathlib import Path

import pytest

from avatar_export.page import ORT_MODULE, ORT_WASM, bundle, write_page
from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.web_sources import web_sources


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
