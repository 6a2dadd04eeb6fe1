"""The site builds without a warning, holds every document and public name, and asks no other server for anything."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from code_blocks import DOCUMENTS, ROOT

sys.path.insert(0, str(ROOT / "docs"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings", reason='needs pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    from pages import PAGE_OF

    for document in DOCUMENTS:
        name = document.relative_to(ROOT).as_posix()
        page = PAGE_OF.get(name, name.removeprefix("docs/")).removesuffix(".md")
        assert (site / ("" if page == "index" else page) / "index.html").is_file(), name


def test_links_out_of_the_documents_lead_to_the_repository_s_files(site: Path) -> None:
    html = (site / "devices/index.html").read_text(encoding="utf-8")
    assert '/blob/main/runtime/examples/avatar.cpp"' in html
    assert '/tree/main/runtime/phone"' in html
    assert 'href="../export/#formats-and-targets"' in html


def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        asked = re.findall(r'<(?:script|img|iframe)[^>]*src="(https?:[^"]+)', html)
        asked += re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="(https?:[^"]+)', html)
        assert asked == [], page
        assert 'data-md-component="source"' not in html, "the theme asks GitHub for the number of stars"


@pytest.mark.parametrize("package", ["avatar_runtime", "avatar_export", "avatar_training"])
def test_public_names_are_in_the_reference(package: str) -> None:
    page = ROOT / "docs/api" / f"{package.removeprefix('avatar_')}.md"
    described = re.findall(r"^::: (\S+)\.(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert public <= {name for _, name in described}
    for module, name in described:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
