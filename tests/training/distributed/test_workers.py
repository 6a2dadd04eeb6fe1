"""Several workers are one: the same steps within rounding, one voice, one end. Started by msrun, as a user does."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from avatar_training.errors import TrainingError
from avatar_training.loop import train
from avatar_training.run_folder import checkpoint
from avatar_training.step import TrainingStep

from ..classifier import write_classifier, write_critic
from ..conftest import MakeConfig, losses

TOLERANCE = 1e-5
"""Largest difference of a weight after 6 steps. They are of the order of 0.02, and move by up to 2e-4 a step."""

STEPS = 6


@dataclass
class Job:
    """avatar-train under msrun."""

    msrun: "subprocess.Popen[bytes]"
    log: Path
    processes: list[psutil.Process]
    """The scheduler, then the workers."""

    def ended(self, seconds: float = 150) -> tuple[int, str]:
        """msrun's exit status and all that it said, once every process has ended."""
        status = self.msrun.wait(seconds)
        _, alive = psutil.wait_procs(self.processes, timeout=60)
        assert not alive
        return status, self.log.read_text()

    def kill(self) -> None:
        """End what is left of its process group: msrun's `tail -f` outlives it."""
        with suppress(ProcessLookupError):
            os.killpg(self.msrun.pid, signal.SIGKILL)
        self.msrun.wait()


Launch = Callable[..., Job]


@pytest.fixture
def launch(tmp_path: Path, pictures: Path) -> Iterator[Launch]:
    """Start avatar-train on a tiny network under msrun: launch(workers, *options); first: code to run before."""
    script = tmp_path / "avatar-train"
    sizes = "--batch-size 4 --image-size 32 --ngf 8 --ndf 8 --snapshot-every 4 --no-diff-augment"
    tiny = ["--data", pictures, *sizes.split()]
    jobs = []

    def start(workers: int, *options: str, new: bool = True, first: str = "") -> Job:
        script.write_text(f"{first}\nfrom avatar_training.cli import main\nmain()\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = ["--worker_num", workers, "--local_worker_num", workers, "--master_port", port, "--join", "True"]
        command = [*settings, "--log_dir", tmp_path / "logs", script, "--out", tmp_path / "run", *(tiny if new else [])]
        log = tmp_path / "msrun.log"
        with log.open("wb") as file:
            msrun = subprocess.Popen(
                [sys.executable, "-m", "mindspore.parallel.cluster.run", *map(str, command), *options],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                start_new_session=True,
            )
        jobs.append(job := Job(msrun, log, []))
        while len(job.processes) < workers + 1:
            assert msrun.poll() is None, log.read_text()
            time.sleep(0.05)
            job.processes = [p for p in psutil.Process(msrun.pid).children() if script.name in " ".join(p.cmdline())]
        return job

    yield start
    for job in jobs:
        job.kill()


def reached(out: Path, steps: int) -> None:
    deadline = time.monotonic() + 120
    while not (out / "stats.jsonl").exists() or len((out / "stats.jsonl").read_text().splitlines()) < steps:
        assert time.monotonic() < deadline, f"no step {steps} in {out}"
        time.sleep(0.05)


def newest(out: Path) -> int:
    return checkpoint.snapshot_step(checkpoint.snapshots(out / "snapshots")[0])


def assert_same_run(one: Path, other: Path) -> None:
    arrays, others = (checkpoint.read(checkpoint.snapshots(out / "snapshots")[0]) for out in (one, other))
    assert arrays.keys() == others.keys()
    for name in arrays:
        one_s, other_s = arrays[name].astype(np.float64), others[name].astype(np.float64)
        np.testing.assert_allclose(other_s, one_s, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    np.testing.assert_allclose(losses(other), losses(one), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(
    "settings",
    [
        {},  # with batch norm in both networks, whose statistics therefore are those of the whole batch
        pytest.param({"spectral_norm": True, "diff_augment": True, "loss": "hinge"}, marks=pytest.mark.workers),
        pytest.param(
            {"critic": ("critic.npz",), "critic_network": ("classifier.onnx",), "reward_images": 2},
            marks=pytest.mark.workers,
        ),
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_two_workers_train_as_one(
    launch: Launch, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_critic(Path("critic.npz"), write_classifier(Path("classifier.onnx")))
    options = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value[0] if isinstance(value, tuple) else value}")
        for name, value in settings.items()
    ]
    job = launch(2, "--steps", "6", *options)
    train(tiny_config(steps=STEPS, **settings), tmp_path / "one")
    status, said = job.ended()
    assert status == 0, said
    assert said.count("22 images of") == said.count(f"step {STEPS}:") == said.count('"seed": 0') == 1
    assert "on 2 workers, CPU" in said
    assert_same_run(tmp_path / "one", tmp_path / "run")


@pytest.mark.workers
def test_a_run_goes_on_with_another_number_of_workers(launch: Launch, tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(steps=STEPS), tmp_path / "one")
    train(tiny_config(steps=2), tmp_path / "run")
    status, said = launch(2, "--resume", "--steps", "4", new=False).ended()
    assert (status, newest(tmp_path / "run")) == (0, 4), said
    train(tiny_config(steps=STEPS), tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "one", tmp_path / "run")


DIVERGE_ONCE = """
from avatar_training.step import TrainingStep
healthy = TrainingStep.run

def run(training, step, real, learning_rate):
    losses = healthy(training, step, real, learning_rate)
    return (float("nan"), 0.0, 0.0) if step == 5 and not training.config.rollbacks else losses

TrainingStep.run = run
"""


@pytest.mark.workers
def test_workers_go_back_together_when_training_diverges(
    launch: Launch, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = launch(2, "--steps", "6", "--rollback", first=DIVERGE_ONCE)
    monkeypatch.setattr(TrainingStep, "run", TrainingStep.run)  # put back what the next line replaces
    exec(DIVERGE_ONCE, {})
    train(tiny_config(steps=STEPS, rollback=True), tmp_path / "one")
    status, said = job.ended()
    assert status == 0, said
    assert said.count("rollback 1 of 3") == 1
    assert_same_run(tmp_path / "one", tmp_path / "run")


@pytest.mark.workers
@pytest.mark.parametrize("receiver", ["a worker", "msrun"])
def test_a_job_told_to_stop_saves_and_stops_at_one_step(receiver: str, launch: Launch, tmp_path: Path) -> None:
    job = launch(2, "--steps", "100000")
    reached(tmp_path / "run", 3)
    (job.msrun if receiver == "msrun" else job.processes[2]).send_signal(signal.SIGTERM)
    status, _ = job.ended()
    assert status != 0
    assert newest(tmp_path / "run") == len(losses(tmp_path / "run"))
    assert "stopped; continue with: avatar-train --resume" in (tmp_path / "logs/worker_0.log").read_text()


@pytest.mark.workers
@pytest.mark.parametrize("worker", [0, 1])
def test_a_killed_worker_ends_the_job_and_what_was_saved_stays(
    worker: int, launch: Launch, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    job = launch(2, "--steps", "100000")
    reached(tmp_path / "run", 6)
    job.processes[1 + worker].kill()
    status, said = job.ended(90)
    assert status != 0, said
    assert newest(tmp_path / "run") >= 4
    last = newest(tmp_path / "run")
    assert train(tiny_config(steps=last + 1), tmp_path / "run", resume=True).step == last + 1


def test_a_batch_that_cannot_be_shared_out_is_refused(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("MS_WORKER_NUM", "3")
    with pytest.raises(TrainingError, match="--batch-size 4 cannot be divided among 3 workers"):
        train(tiny_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


SLOW_DRAWING = """
import time
from avatar_training.networks.gan import Gan
draw = Gan.draw

def slowly(gan, z):
    for _ in range(4):
        time.sleep(10)
        images = draw(gan, z)
    return images

Gan.draw = slowly
"""


@pytest.mark.workers
def test_followers_wait_for_a_busy_leader(launch: Launch, tmp_path: Path) -> None:
    """Longer than the 30 s after which MindSpore's AllReduce on a CPU gives up, at the start and at a tick."""
    status, said = launch(2, "--steps", "2", first=SLOW_DRAWING).ended()
    assert (status, newest(tmp_path / "run")) == (0, 2), said
