"""Completion in bash, zsh and fish themselves: what the documents tell users to do is done in each."""

import os
import re
import select
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")

SCRIPTS = sysconfig.get_path("scripts")
READY = "READY"


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}


def typed(shell: list[str], lines: list[str], word: str, home: Path, expected: str) -> str:
    """What an interactive shell shows after the lines, the word and the tab key, as soon as that is as expected."""
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        shell, stdin=terminal, stdout=terminal, stderr=terminal, env=environment(home), cwd=home, start_new_session=True
    )
    os.close(terminal)

    def until(pattern: str) -> str:
        seen = ""
        while not re.search(pattern, seen):
            if not select.select([master], [], [], 60)[0]:
                raise AssertionError(f"{pattern} does not come: {seen!r}")
            seen += os.read(master, 65536).decode(errors="replace")
        return seen

    try:
        # The answer differs from what is typed, which the terminal shows, too.
        os.write(master, "".join(f"{line}\n" for line in [*lines, f"echo {READY[:2]}''{READY[2:]}"]).encode())
        until(READY)
        os.write(master, f"{word}\t".encode())
        return until(expected)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def need(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.mark.parametrize("command", ["avatar-gen", "avatar-serve"])
def test_bash_completes_an_option(tmp_path: Path, command: str) -> None:
    script = f'eval "$(_{command.upper().replace("-", "_")}_COMPLETE=bash_source {command})"'
    words = {"avatar-gen": ("--circ", "--circle "), "avatar-serve": ("--worke", "--workers ")}[command]
    shell = [need("bash"), "--norc", "--noprofile", "-i"]
    assert words[1] in typed(shell, [script], f"{command} {words[0]}", tmp_path, re.escape(words[1]))


def test_zsh_completes_an_option(tmp_path: Path) -> None:
    lines = ["autoload -U compinit; compinit -u", 'eval "$(_AVATAR_GEN_COMPLETE=zsh_source avatar-gen)"']
    assert "--circle" in typed([need("zsh"), "-f", "-i"], lines, "avatar-gen --circ", tmp_path, "--circle")


@pytest.mark.parametrize(
    ("line", "words"), [("--circ", ["--circle"]), ("--format w", ["webp"]), ("--in", ["--info", "--interpolate"])]
)
def test_fish_completes_options_and_values(tmp_path: Path, line: str, words: list[str]) -> None:
    script = f'_AVATAR_GEN_COMPLETE=fish_source avatar-gen | source; complete -C "avatar-gen {line}"'
    command = [need("fish"), "--no-config", "-c", script]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr == ""
    assert [found.split("\t")[0] for found in done.stdout.splitlines()] == words


def test_a_line_that_would_be_refused_is_completed(tmp_path: Path) -> None:
    asked = {
        "_AVATAR_GEN_COMPLETE": "bash_complete",
        "COMP_WORDS": "avatar-gen --out --count --circ",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        ["avatar-gen"], env=environment(tmp_path) | asked, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("plain,--circle\n", "")
