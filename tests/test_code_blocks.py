"""Every code block of the documents runs, or says above it why no test runs it.

Blocks of HTML and JavaScript run in tests/web/test_code_blocks.py. What trains or exports takes minutes:
`pytest -m documents`.
"""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from code_blocks import DOCUMENTS, ROOT, Block, blocks, parameters, to_run
from test_end_to_end import face

STAND_INS = {
    # The packages are here already; that the extras exist is all there is to see.
    "pip": """
import re, sys
extras = re.findall(r"[\\w-]+", "".join(re.findall(r"\\[(.*?)\\]", " ".join(sys.argv))))
text = open({root!r} + "/pyproject.toml", encoding="utf-8").read()
missing = [extra for extra in extras if not re.search(rf"^{{extra}} = \\[", text, re.MULTILINE)]
sys.exit(f"no such extra: {{missing}}" if missing else 0)
""",
    # 20 steps in place of 20,000.
    "avatar-train": """
import subprocess, sys
short = [] if "--steps" in sys.argv or "--help" in sys.argv else ["--steps", "20"]
sys.exit(subprocess.call([{scripts!r} + "/avatar-train", *sys.argv[1:], *short]))
""",
    # One request, then the end.
    "avatar-serve": """
import re, subprocess, sys, urllib.request
command = [{scripts!r} + "/avatar-serve", *sys.argv[1:], "--port", "0"]
with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
    address = next(m[0] for line in server.stderr if (m := re.search(r"http://127\\.0\\.0\\.1:\\d+", line)))
    with urllib.request.urlopen(address + "/alice.png?size=96") as answer:
        assert answer.read(4) == b"\\x89PNG"
    server.terminate()
""",
}
"""Programs that stand in for others in the blocks of shell commands."""

LONG = re.compile(r"^(avatar-train|avatar-export)\b", re.MULTILINE)
SHELL = to_run("sh")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_runs_or_says_why_not(document: Path) -> None:
    for block in blocks(document):
        assert block.reason or block.language in ("python", "sh", "html", "js", "text"), (
            f"{block}: no test runs {block.language or 'a block without a language'}; name one of those languages, "
            "or write <!-- not run: reason --> above it"
        )
        for path in re.findall(r"tests/[\w./-]+", block.reason):
            assert (ROOT / path).exists(), f"{block}: {path}"


@pytest.mark.parametrize("block", parameters(to_run("python")))
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, str(block), "exec"), {"__name__": "block"})


def run(block: Block, folder: Path) -> None:
    """Run a block of shell commands in a folder that has what the documents speak of."""
    for name in ("names.txt", "team.txt"):
        (folder / name).write_text("Alice\nBob\nCarol\n")
    (folder / "training").symlink_to(ROOT / "training")
    programs = folder / "programs"
    programs.mkdir()
    scripts = sysconfig.get_path("scripts")
    for name, code in STAND_INS.items():
        program = programs / name
        program.write_text(f"#!{sys.executable}\n{code.format(root=str(ROOT), scripts=scripts)}")
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), scripts, os.environ["PATH"]])
    command, environment = ["bash", "-euc", block.code], {**os.environ, "PATH": path}
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as process:
        try:
            status = process.wait()
        except BaseException:  # the time limit: what the shell started would go on
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert status == 0


@pytest.mark.skipif(os.name == "nt", reason="the documents' shell is a POSIX one")
@pytest.mark.parametrize("block", parameters([block for block in SHELL if not LONG.search(block.code)]))
def test_quick_commands_run(block: Block, tmp_path: Path) -> None:
    run(block, tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with faces.zip and a run of 20 steps."""
    pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")
    import numpy as np

    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for i in range(100):
            archive.writestr(f"{i:03}.jpg", face(rng))
    train = str(Path(sysconfig.get_path("scripts"), "avatar-train"))
    subprocess.run([train, "--data", "faces.zip", "--steps", "20", "--out", "runs/night"], cwd=folder, check=True)
    return folder


@pytest.mark.documents
@pytest.mark.parametrize("block", parameters([block for block in SHELL if LONG.search(block.code)]))
def test_long_commands_run(block: Block, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "faces.zip").symlink_to(trained / "faces.zip")
    if "avatar-train" not in block.code:
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs/night").symlink_to(trained / "runs/night")
    run(block, tmp_path)
