"""The documents are true: links lead somewhere, options and files exist."""

import importlib
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from avatar_runtime import __version__
from avatar_runtime.model_file.registry import default_model
from code_blocks import DOCUMENTS, ROOT, blocks

COMMANDS = {
    "avatar-gen": "avatar_runtime.command.cli",
    "avatar-serve": "avatar_runtime.serve.cli",
    "avatar-export": "avatar_export.cli",
    "avatar-train": "avatar_training.cli",
    "python -m benchmarks": "benchmarks.__main__",
    **{
        f"python -m benchmarks.studies.{path.stem}": f"benchmarks.studies.{path.stem}"
        for path in (ROOT / "benchmarks/studies").glob("*.py")
    },
}
GENERATED = {"benchmarks/RESULTS.md"}
OTHERS = {"--help", "--version", "--durations"}
"""Options of pytest and of all commands that may be named alone."""


def spans(document: Path) -> list[str]:
    """Code within the text."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL))


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def options(module: str) -> set[str]:
    """All options of a command and of its subcommands."""
    found: set[str] = set()
    todo: list[click.Command] = [importlib.import_module(module).main]
    while todo:
        command = todo.pop()
        found |= {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
        todo += command.commands.values() if isinstance(command, click.Group) else []
    return found | {"--help", "--version"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        if anchor:
            assert anchor in {slug(line.lstrip("# ")) for line in path.read_text().splitlines() if line[:1] == "#"}, (
                target
            )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_are_where_the_text_says(document: Path) -> None:
    for text in spans(document):
        path = text.removeprefix("bash ").split("::")[0]
        if re.fullmatch(r"(runtime|export|training|tests|benchmarks|docs)/[\w./-]+", path) and path not in GENERATED:
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if path.parent.name != "web"], ids=lambda path: path.name
)
def test_commands_have_the_options_that_the_text_uses(document: Path) -> None:
    if find_spec("mindspore") is None:
        pytest.skip("MindSpore has no wheel for this Python")
    shell = "\n".join(block.code for block in blocks(document) if block.language == "sh")
    lines = shell.replace("\\\n", " ").splitlines()
    known = {name: options(module) for name, module in COMMANDS.items()}
    for line in [*lines, *spans(document)]:
        for part in re.split(r"&&|\|", line.replace("$(which avatar-train)", "&& avatar-train").split(" #")[0]):
            called = next((name for name in known if part.strip().startswith(f"{name} ")), None)
            if called is not None:
                used, allowed = part, known[called]
            elif re.fullmatch(r"--[a-z][\w-]*( .*)?", part):
                used, allowed = part, set.union(OTHERS, *known.values())
            else:
                continue
            for word in shlex.split(used):
                if word.startswith("--"):
                    assert word.split("=")[0] in allowed, f"{part.strip()}: {word}"


def test_every_marked_suite_is_in_the_guide_and_has_a_time_limit() -> None:
    markers = re.findall(r'^  "(\w+): ', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert "slow" in markers
    guide, limits = ((ROOT / name).read_text() for name in ("CONTRIBUTING.md", "tests/conftest.py"))
    assert [marker for marker in markers if f"`pytest -m {marker}`" not in guide or f'"{marker}": ' not in limits] == []


def test_everything_names_the_same_version() -> None:
    text = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in ("CHANGELOG.md", "CITATION.cff", "runtime/web/README.md", "docs/releases.md")
    }
    package = json.loads((ROOT / "runtime/web/package.json").read_text(encoding="utf-8"))
    model = json.loads((ROOT / "runtime/web/model/package.json").read_text(encoding="utf-8"))
    tarballs = re.findall(r"avatar-runtime-web-(?:model-)?([\d.]+)\.tgz", text["runtime/web/README.md"])
    assert re.findall(r"^## \[(\d.*?)\]", text["CHANGELOG.md"], re.MULTILINE)[0] == __version__
    assert re.findall(r"^version: (.+)$", text["CITATION.cff"], re.MULTILINE) == [__version__]
    assert set(re.findall(r"\bv(\d+\.\d+\.\d+)\b", text["docs/releases.md"])) == {__version__}
    assert package["version"] == __version__
    assert tarballs == [package["version"], model["version"]]
    # The major version of the model's package is the model's.
    assert model["version"].split(".")[0] == default_model().split("@")[1]
    assert package["dependencies"] == {model["name"]: f"^{model['version'].split('.')[0]}.0.0"}


def test_readme_has_at_most_100_lines_and_the_benchmarks_80() -> None:
    for name, most in (("README.md", 100), ("benchmarks/README.md", 80)):
        assert len((ROOT / name).read_text().splitlines()) <= most
