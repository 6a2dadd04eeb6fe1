"""A run whose system calls on files fail, or stop for ever, one after the other: `file_faults.py MODE PICTURES FOLDER`.

`LD_PRELOAD` has to name file_layer.c, compiled. The networks learn nothing here, they count: what a run writes, and in
which order, is the same, and a run takes a second instead of ten.

Modes: `stops` copies the run folder before each call that changes it, once as it is, as after a kill, and once without
what no fsync has brought to the disk, as after a power cut. `errors` lets each call fail with ENOSPC or EIO. Each run
must end as the undisturbed one does when it is resumed. EVERY runs each N-th case (default 7), of all, starting with
case OFFSET (default 0).
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor

from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8
from avatar_training import loop
from avatar_training.config import TrainConfig
from avatar_training.networks.gan import Gan
from avatar_training.report import plots
from avatar_training.run_folder import checkpoint

Hook = Callable[[str, Path], int]
"""(name of the call, file) -> 0 or the errno to fail with."""

_HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)


class CountingGan(Gan):
    def draw(self, z: npt.NDArray[np.float32]) -> UInt8:
        steps = int(next(iter(self.average.get_parameters())).asnumpy().ravel()[0] * 1000) % 2**31
        return np.random.default_rng(steps).integers(0, 256, (len(z), 32, 32, 3), np.uint8)


class CountingStep:
    """Every weight is the number of steps."""

    def __init__(self, gan: Gan) -> None:
        self.gan, self.config = gan, gan.config

    def state(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.gan.parameters()}

    def run(self, step: int, real: object, learning_rate: float) -> tuple[float, float, float]:
        for parameter in self.gan.parameters():
            parameter.set_data(Tensor(np.full(parameter.shape, step + 1, np.float32)))
        return 1 / (step + 1), 2 / (step + 1), 0.0


def train(config: TrainConfig, out: Path, hook: Hook | None = None, resume: bool = False) -> None:
    """Train; the hook sees every call on a file in the run folder."""

    def call(name: bytes, file: bytes) -> int:
        path = Path(os.fsdecode(file)).absolute()
        return hook(name.decode(), path) if hook and path.is_relative_to(out) else 0

    kept = _HOOK(call)
    layer = ctypes.CDLL(None)
    layer.set_hook(kept)
    try:
        loop.train(config, out, resume=resume)
    finally:
        layer.set_hook(_HOOK(0))


def outcome(out: Path) -> tuple[dict[str, bytes], list[Any], list[Path]]:
    """Networks and newest snapshot, the losses, and temporary files."""
    files = [out / "generator.ckpt", out / "discriminator.ckpt", checkpoint.snapshots(out / "snapshots")[0]]
    arrays = {f"{f.name}:{name}": a.tobytes() for f in files for name, a in checkpoint.read(f).items()}
    rows = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    losses = [(row["step"], row["g_loss"]) for row in rows if "g_loss" in row]
    return arrays, losses, list(out.rglob("*.tmp*"))


def finish(config: TrainConfig, out: Path, expected: object, case: str) -> None:
    """Go on with a run that was disturbed, and compare its end."""
    try:
        train(config, out, resume=(out / "config.json").exists())
    except Exception as err:
        sys.exit(f"{case}: cannot go on: {err!r}")
    if outcome(out) != expected:
        sys.exit(f"{case}: another end")


def contents(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def stops(config: TrainConfig, folder: Path, chosen: slice, expected: object) -> int:
    out = folder / "run"
    unsynced: set[Path] = set()
    sizes: dict[Path, int] = {}  # what the last fsync has brought to the disk
    seen: set[str] = set()
    found: list[tuple[Path, str]] = []

    def hook(name: str, path: Path) -> int:
        changes = name in ("create", "write", "rename", "unlink", "mkdir", "chmod", "fsync")
        if changes and out.is_dir() and (state := contents(out)) not in seen:
            seen.add(state)
            for kind in ("kill", "power cut"):
                copy = folder / f"{len(found)}"
                shutil.copytree(out, copy)
                found.append((copy, f"{kind} before {name} {path.name}"))
            for lost in unsynced:
                if lost.exists():
                    os.truncate(copy / lost.relative_to(out), sizes.get(lost, 0))
        if name == "write":
            unsynced.add(path)
        elif name == "fsync":
            unsynced.discard(path)
            sizes[path] = path.stat().st_size
        elif name == "rename":
            sizes.pop(path, None)
            temporary = [lost for lost in unsynced if lost.parent == path.parent and ".tmp" in lost.name]
            unsynced.difference_update(temporary)
            unsynced.discard(path)
            unsynced.update([path] if temporary else [])
        return 0

    train(config, out, hook)
    for copy, case in found[chosen]:
        finish(config, copy, expected, case)
    return len(found[chosen])


def errors(config: TrainConfig, folder: Path, chosen: slice, expected: object) -> int:
    calls: list[str] = []
    train(config, folder / "counted", lambda name, path: calls.append(name) or 0)  # type: ignore[func-returns-value]
    cases = [(i, code) for i, name in enumerate(calls, 1) for code in (errno.EIO, errno.ENOSPC)
             if code == errno.EIO or name in ("create", "write", "rename", "mkdir", "fsync")]  # fmt: skip
    for number, code in cases[chosen]:
        out = folder / f"{number}-{code}"
        count, case = 0, ""

        def hook(name: str, path: Path, number: int = number, code: int = code) -> int:
            nonlocal count, case
            count += 1
            if count != number:
                return 0
            case = f"{os.strerror(code)} in {name} {path.name}"
            return code

        try:
            train(config, out, hook)
        except AvatarError as err:
            if os.strerror(code) not in str(err) or "\n" in str(err):
                sys.exit(f"{case}: poor words: {err}")
            finish(config, out, expected, case)
            continue
        except Exception as err:
            sys.exit(f"{case}: {err!r}")
        if outcome(out) != expected:
            sys.exit(f"{case}: went on to another end")
        shutil.rmtree(out)
    return len(cases[chosen])


def main(mode: str, pictures: str, name: str) -> None:
    loop.Gan, loop.TrainingStep = CountingGan, CountingStep  # type: ignore[attr-defined, assignment]
    plots.svg = lambda draw, rows: "<svg/>"  # half of the time of such a short run
    sizes = {"image_size": 32, "ngf": 1, "ndf": 1, "latent_dim": 4}
    settings: dict[str, Any] = {**sizes, "batch_size": 4, "steps": 5, "snapshot_every": 2, "device_target": "CPU"}
    config, folder = TrainConfig(data=pictures, **settings), Path(name).resolve()
    train(config, folder / "undisturbed")
    chosen = slice(int(os.environ.get("OFFSET", "0")), None, int(os.environ.get("EVERY", "7")))
    run = {"stops": stops, "errors": errors}[mode]
    count = run(config, folder, chosen, outcome(folder / "undisturbed"))
    sys.stdout.write(f"{count} cases")


if __name__ == "__main__":
    main(*sys.argv[1:])
