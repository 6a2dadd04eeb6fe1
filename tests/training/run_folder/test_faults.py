"""Whatever happens to a run, `resume` goes on from the newest intact snapshot and ends as if nothing had happened.

`pytest -m faults`: file systems that are full or read-only; and see test_file_faults.py.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from avatar_runtime.errors import OutputError
from avatar_training.archive import ArchiveError, pack_arrays, read_arrays
from avatar_training.config import TrainConfig
from avatar_training.data.source import DataError
from avatar_training.errors import TrainingError
from avatar_training.loop import Progress, train
from avatar_training.run_folder import checkpoint, lock
from avatar_training.run_folder.record import read_record

from ..conftest import MakeConfig, losses, stats, weights
from ..feature_network import write_feature_network


def killed(config: TrainConfig, out: Path, moment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("killed.py"))]
    command += [json.dumps(config.to_dict()), str(out), moment]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def resumed(config: TrainConfig, out: Path) -> list[str]:
    """Go on to the end; what was said."""
    said: list[str] = []
    assert train(config, out, resume=True, on_message=said.append).finished
    return said


def kept(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "snapshots").iterdir())


@pytest.fixture(scope="module")
def half_run(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 9 steps with the snapshots of steps 4, 8 and 9."""
    out = tmp_path_factory.mktemp("half") / "run"
    train(tiny_config(steps=9, keep=3), out)
    assert kept(out) == ["step-00000004.ckpt", "step-00000008.ckpt", "step-00000009.ckpt"]
    return out


@pytest.mark.parametrize("moment", ["step 6", r"os\.rename .*step-00000008"])
def test_a_killed_and_resumed_run_is_the_uninterrupted_one(
    whole_run: Path, tiny_config: MakeConfig, tmp_path: Path, moment: str
) -> None:
    assert killed(tiny_config(), tmp_path, moment).returncode < 0
    assert checkpoint.read(tmp_path / "generator.ckpt")["steps"].item() >= 4  # so that a run can be exported meanwhile
    assert "resuming from" in resumed(tiny_config(), tmp_path)[-1]
    assert weights(tmp_path) == weights(whole_run)
    assert losses(tmp_path) == losses(whole_run)
    assert not list(tmp_path.rglob("*.tmp*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def cut_after_the_last_tensor(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"digest") - 4])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, cut_after_the_last_tensor, flip, Path.unlink])
def test_a_newest_snapshot_that_is_harmed_is_passed_over_but_kept(
    whole_run: Path, half_run: Path, tiny_config: MakeConfig, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    out = shutil.copytree(half_run, tmp_path / "run")
    newest, before, _ = checkpoint.snapshots(out / "snapshots")
    harm(newest)
    left = newest.read_bytes() if newest.exists() else None
    said = "\n".join(resumed(tiny_config(keep=1), out))
    assert f"resuming from {before}" in said
    if left is not None:
        assert "cannot resume from step-00000009.ckpt" in said
        assert "step-00000009.ckpt is now step-00000009.ckpt.1" in said
        assert newest.with_name("step-00000009.ckpt.1").read_bytes() == left
    assert weights(out) == weights(whole_run)
    assert losses(out) == losses(whole_run)
    assert [name for name in kept(out) if name.endswith(".ckpt")] == ["step-00000014.ckpt"]


def test_a_flipped_bit_in_any_saved_file_is_told(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """Pictures and the report are left out: they are written again, and nothing is computed from them."""
    network = write_feature_network(tmp_path / "features.onnx", scale=1 / 64)
    out, chosen = tmp_path / "run", random.Random(0)
    train(tiny_config(steps=4, kid_network=str(network), kid_every=4), out)
    record = read_record(out)
    files = [path for path in sorted(out.rglob("*.*")) if path.suffix in (".ckpt", ".npz", ".json")]
    assert {"best.ckpt", "generator.ckpt", "discriminator.ckpt", "real-features.npz"} <= {path.name for path in files}
    for path in files:
        sound = path.read_bytes()
        for place in chosen.sample(range(len(sound)), 20):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << chosen.randrange(8)
            path.write_bytes(damaged)
            said: list[str] = []
            if path.suffix == ".ckpt":
                with pytest.raises(checkpoint.CheckpointError, match=f"{path.name} is damaged"):
                    checkpoint.read(path)
            elif path.suffix == ".npz":  # computed again
                with suppress(ArchiveError):
                    assert pack_arrays(**read_arrays(path)) == sound
            elif path.suffix == ".json":
                assert read_record(out, said.append) == record
                assert len(said) == (path.name == "config.json")
        path.write_bytes(sound)


def test_no_intact_snapshot_is_refused_and_nothing_is_touched(
    half_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    out = shutil.copytree(half_run, tmp_path / "run")
    for path in checkpoint.snapshots(out / "snapshots"):
        flip(path)
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.name != ".lock"}
    with pytest.raises(TrainingError, match=r"no snapshot in .* is intact"):
        train(tiny_config(), out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*.*") if path.name != ".lock"} == before


def test_a_run_does_not_go_on_with_other_images_or_none(
    half_run: Path, tiny_config: MakeConfig, pictures: Path, tmp_path: Path
) -> None:
    out, data = shutil.copytree(half_run, tmp_path / "run"), shutil.copytree(pictures, tmp_path / "data")
    (data / "00.png").write_bytes((data / "01.png").read_bytes())
    with pytest.raises(TrainingError, match=f"{data} holds other images than {out} was trained on"):
        train(tiny_config(data=str(data)), out, resume=True)
    shutil.rmtree(data)
    with pytest.raises(DataError, match=f"{data} does not exist"):
        train(tiny_config(data=str(data)), out, resume=True)
    assert kept(out) == kept(half_run)


def test_a_report_that_a_power_cut_has_damaged_does_not_stop_a_run(
    half_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    out = shutil.copytree(half_run, tmp_path / "run")
    (out / "previews/00000004.png").write_bytes(b"")
    lines = (out / "stats.jsonl").read_bytes().splitlines(keepends=True)
    lines[1:4] = [b"\xff" + lines[1], b'{"stop": 3}\n', b"4\n"]
    (out / "stats.jsonl").write_bytes(b"".join(lines) + bytes(500))
    resumed(tiny_config(steps=9), out)
    assert [row["step"] for row in stats(out, "g_loss")] == [1, 5, 6, 7, 8, 9]
    assert sorted(path.stem for path in (out / "previews").iterdir()) == ["00000000", "00000008", "00000009"]


@pytest.fixture
def write_limit() -> Iterator[Callable[[int], None]]:
    """Files may have so many bytes and no more: the full disk of somebody who may not mount one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_snapshot_that_cannot_be_written_ends_the_run_with_the_last_one_intact(
    whole_run: Path,
    tiny_config: MakeConfig,
    tmp_path: Path,
    write_limit: Callable[[int], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def on_step(progress: Progress) -> None:
        if progress.step == 6:
            write_limit((tmp_path / "snapshots" / "step-00000004.ckpt").stat().st_size - 1)

    with pytest.raises(OutputError, match=r"cannot write .*step-00000008.ckpt: .*--resume from .*step-00000004.ckpt"):
        train(tiny_config(), tmp_path, on_step=on_step)
    write_limit(resource.RLIM_INFINITY)
    assert "Failed to save" not in capfd.readouterr().err  # MindSpore's own words
    assert kept(tmp_path) == ["step-00000000.ckpt", "step-00000004.ckpt"]
    resumed(tiny_config(), tmp_path)
    assert weights(tmp_path) == weights(whole_run)
    assert losses(tmp_path) == losses(whole_run)


HOLD = "import sys, pathlib; from avatar_training.run_folder.lock import held\n"
HOLD += "with held(pathlib.Path(sys.argv[1])): print(); input()"


def test_a_second_process_is_refused_until_the_first_is_gone(whole_run: Path, tiny_config: MakeConfig) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(whole_run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdin is not None
    with first.stdin, first.stdout:
        first.stdout.readline()
        for resume, restart in [(True, False), (False, True), (False, False)]:
            with pytest.raises(TrainingError, match=f"process {first.pid} is training in {whole_run}"):
                train(tiny_config(), whole_run, resume=resume, restart=restart)
        first.kill()
        first.wait()
    with lock.held(whole_run):
        pass


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a file system to fill")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(out: Path) -> None:
    (out.parent / "filler").write_bytes(bytes(shutil.disk_usage(out).free - 300_000))


def make_room(out: Path) -> None:
    (out.parent / "filler").unlink()


def make_read_only(out: Path) -> None:
    mount("--bind", str(out), str(out))
    mount("-o", "remount,bind,ro", str(out))


def make_writable(out: Path) -> None:
    subprocess.run(["umount", "-l", str(out)], check=True)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("harm", "mend", "words"),
    [(fill, make_room, "No space left"), (make_read_only, make_writable, "Read-only file system")],
    ids=["full", "read-only"],
)
@pytest.mark.parametrize("step", [1, 6, 9])
def test_a_disk_that_is_full_or_read_only(
    whole_run: Path,
    tiny_config: MakeConfig,
    disk: Path,
    step: int,
    harm: Callable[[Path], None],
    mend: Callable[[Path], None],
    words: str,
) -> None:
    out = disk / "run"

    def on_step(progress: Progress) -> None:
        if progress.step == step:
            harm(out)

    with pytest.raises(OutputError, match=f"cannot write .*{words}.*--resume"):
        train(tiny_config(), out, on_step=on_step)
    last = step // 4 * 4
    assert checkpoint.snapshot_step(checkpoint.snapshots(out / "snapshots")[0]) == last
    with pytest.raises(OutputError, match=words):  # still no room: one sentence, and nothing is lost
        train(tiny_config(), out, resume=True)
    mend(out)
    resumed(tiny_config(), out)
    assert weights(out) == weights(whole_run)
    assert losses(out) == losses(whole_run)
