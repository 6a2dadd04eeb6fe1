"""The four commands as processes whose streams, memory, handles, threads or encoding are not what they expect."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import avatar_runtime
from avatar_runtime.command import process

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and devices of Linux")

COMMANDS = ["avatar-gen", "avatar-serve", "avatar-export", "avatar-train"]
OK, FAILED, USAGE = 0, 1, 2

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(folder: Path, tiny_model: Path) -> Shell:
    """A line of bash in an empty folder, with the installed commands in its path and the tiny model as $MODEL."""

    def run(line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        settings = {**os.environ, "PATH": path, "MODEL": str(tiny_model), **environment}
        command = ["bash", "-c", line]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)

    return run


def assert_sentence(done: "subprocess.CompletedProcess[str]", status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    for word in words:
        assert word in lines[-1]


@pytest.mark.parametrize(("stream", "reason"), [("/dev/full", "No space left on device"), ("&-", "it is closed")])
@pytest.mark.parametrize(
    "command",
    [
        *(f"{name} {option}" for name in COMMANDS for option in ("--help", "--version")),
        "avatar-gen --model $MODEL --info",
        "avatar-gen --model $MODEL --check --json",
        "avatar-gen --model $MODEL --name a --out -",
        "avatar-export --inspect $MODEL",
    ],
)
def test_a_full_or_closed_output_is_a_sentence(shell: Shell, command: str, stream: str, reason: str) -> None:
    assert_sentence(shell(f"{command} >{stream}"), FAILED, f"cannot write to standard output: {reason}")


@pytest.mark.parametrize("stream", ["/dev/full", "&-"])
@pytest.mark.parametrize("options", ["--out a.png", "--out a.png --json", "--out-dir . --json"])
def test_what_is_drawn_is_kept_though_nothing_can_be_said(shell: Shell, stream: str, options: str) -> None:
    done = shell(f"avatar-gen --model $MODEL --name a {options} >{stream}")
    assert_sentence(done, FAILED, "cannot write to standard output")
    assert Path("a.png").read_bytes().endswith(b"IEND\xae\x42\x60\x82")


@pytest.mark.parametrize("stream", ["/dev/full", "&-"])
def test_without_standard_error_the_exit_status_still_tells(shell: Shell, stream: str) -> None:
    assert shell(f"avatar-gen --model $MODEL --name a --out a.png 2>{stream}").returncode == OK
    assert shell(f"avatar-gen --model $MODEL --name a --out - >/dev/null 2>{stream}").returncode == OK
    assert shell(f"avatar-gen --model no --name a --out b.png 2>{stream}").returncode == FAILED
    assert shell(f"avatar-gen --no-such-option 2>{stream}").returncode == USAGE
    assert shell(f"avatar-gen --model $MODEL --name a --out c.png <&- >&- 2>{stream}").returncode == FAILED
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "c.png"]
    assert len({path.read_bytes() for path in Path().iterdir()}) == 1  # nothing else was written into them


@pytest.mark.parametrize("command", [f"{name} --help" for name in COMMANDS] + ["avatar-gen --model $MODEL --info"])
def test_a_reader_that_has_gone_is_no_news(shell: Shell, command: str) -> None:
    done = shell(f"({command}; echo $? >status) | true")
    assert done.stderr == ""
    assert Path("status").read_text() in ("0\n", "1\n")


def test_a_closed_standard_input_is_a_sentence(shell: Shell) -> None:
    done = shell("avatar-gen --model $MODEL --names-file - --out a.png <&-")
    assert_sentence(done, USAGE, "cannot read <stdin>: Bad file descriptor")


@pytest.mark.parametrize("option", ["--model", "--scorer"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("ln -s /dev/zero x.onnx", "x.onnx: it is a device, not a file"),
        ("mkfifo x.onnx", "x.onnx: it is a pipe or a socket, not a file"),
        ("truncate -s 3G x.onnx", "x.onnx: it has 3221 MB, and at most 537 MB are read"),
        ("truncate -s 500M x.onnx", "x.onnx: it is not an ONNX model"),
    ],
)
def test_a_file_is_judged_before_it_is_read(shell: Shell, option: str, make: str, message: str) -> None:
    rest = "--best-of 2" if option == "--scorer" else ""
    done = shell(f"{make}; ulimit -v 400000; avatar-gen --model $MODEL --name a --out a.png {rest} {option} x.onnx")
    assert_sentence(done, FAILED, message)


@pytest.mark.parametrize("kilobytes", [40_000, 100_000, 190_000, 210_000, 250_000])
@pytest.mark.parametrize(
    "command", ["avatar-gen --model $MODEL --count 60000 --size 64 --out a.png", "avatar-serve --model missing"]
)
def test_too_little_memory_is_a_sentence(shell: Shell, command: str, kilobytes: int) -> None:
    done = shell(f"ulimit -v {kilobytes}; {command}")
    assert_sentence(done, FAILED, "" if "missing" in command else "not enough memory")
    assert list(Path().iterdir()) == []


def test_too_few_handles_are_a_sentence(shell: Shell) -> None:
    # Not the script that pip makes: Python holds it open, so that it gets no second handle to import anything.
    packages = [path for path in sys.path if path and Path(path).is_dir()]
    program = f"import sys; sys.path[:0] = {packages}; "
    program += "from avatar_runtime.command import process; process.avatar_serve()"
    done = shell(f'prlimit --nofile=4:4 "{sys.executable}" -S -c "{program}" --port 0')
    assert_sentence(done, FAILED, "too many files are open: raise the limit (ulimit -n)")


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="the limit does not bind root")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("avatar-gen --count 64 --threads 1 --out a.png", ""),
        ("avatar-gen --count 64 --threads 1 --out-dir d", ""),
        ("avatar-gen --info", ""),
        ("avatar-gen --check", ""),
        ("avatar-gen --count 64 --threads 8 --out a.png", "can start 0 more threads and needs 7: use fewer threads"),
        ("avatar-gen --count 64 --threads 8 --out-dir d", "can start 0 more threads and needs 8: use fewer threads"),
        ("avatar-export --help", ""),
        ("avatar-export --inspect missing.onnx", "Error: missing.onnx: cannot read it: No such file or directory"),
        ("avatar-train --help", ""),
    ],
)
def test_a_process_that_may_start_no_thread_draws_with_one_or_says_so(shell: Shell, command: str, message: str) -> None:
    nobody = "setpriv --reuid 65534 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"
    done = shell(f"{nobody} prlimit --nproc=1:1 {command}", HOME="/nonexistent")
    if message:
        assert_sentence(done, FAILED, message)
    else:
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("threads", ["256", "64"])
def test_many_threads_on_few_processors_end(shell: Shell, threads: str) -> None:
    assert shell(f"avatar-gen --model $MODEL --count 64 --threads {threads} --out a.png").returncode == 0


def test_the_encoding_of_the_locale_changes_neither_names_nor_faces(shell: Shell) -> None:
    def drawn(folder: str, **environment: str) -> dict[bytes, bytes]:
        for more in ("", " --json"):
            done = shell(f"avatar-gen --model $MODEL --out-dir {folder} --name 'アリス é'{more}", **environment)
            assert (done.returncode, done.stderr) == (0, "")
        return {os.fsencode(path.name): path.read_bytes() for path in Path(folder).iterdir()}

    expected = drawn("utf8", LC_ALL="C.UTF-8")
    assert list(expected) == ["アリス é.png".encode()]
    assert drawn("c", LC_ALL="C", PYTHONUTF8="0") == expected
    assert drawn("posix", LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == expected
    assert drawn("plain", LC_ALL="C") == expected


def test_a_zip_without_metadata_of_a_package_knows_its_version(shell: Shell) -> None:
    package = Path(avatar_runtime.__file__).parent
    with zipfile.ZipFile("all.zip", "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    packages = [path for path in sys.path if path.endswith("site-packages")]
    program = f"import sys; sys.path[:0] = ['all.zip']; sys.path += {packages}; import runpy; "
    program += "sys.argv[0] = 'avatar-gen'; runpy.run_module('avatar_runtime', run_name='__main__')"
    done = shell(f'"{sys.executable}" -I -S -c "{program}" --version')
    assert (done.returncode, done.stdout) == (0, f"avatar-gen, version {avatar_runtime.__version__}\n"), done.stderr


@pytest.mark.parametrize(
    ("command", "module"), [("avatar_export", "avatar_export.cli"), ("avatar_train", "avatar_training.cli")]
)
def test_a_long_running_command_collects_its_garbage(shell: Shell, command: str, module: str) -> None:
    program = f"import gc, sys, types; fake = types.ModuleType('{module}'); sys.modules['{module}'] = fake; "
    program += "fake.main = lambda prog_name: print(gc.isenabled()); "
    program += f"from avatar_runtime.command import process; process.{command}()"
    assert shell(f'"{sys.executable}" -c "{program}"').stdout == "True\n"


def test_a_quick_command_waits_for_threads_that_write(shell: Shell, folder: Path) -> None:
    module = "avatar_runtime.command.cli"
    program = "import sys, threading, time, types; "
    program += f"fake = types.ModuleType('{module}'); sys.modules['{module}'] = fake; "
    program += "write = lambda: (time.sleep(0.3), open('written', 'w').close()); "
    program += "fake.main = lambda prog_name: threading.Thread(target=write).start(); "
    program += "from avatar_runtime.command import process; process.avatar_gen()"
    assert shell(f'"{sys.executable}" -c "{program}"').returncode == OK
    assert (folder / "written").exists()


def test_a_bundle_is_not_started_again_in_utf8_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)  # as PyInstaller does
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("a bundle is not an interpreter"))
    process._use_utf8()
