"""Writing many files beside bare inference, and one library call beside one bare run."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.networks import bare_session
from benchmarks.suite.models import Models
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import Turns, alternate, ratio, seconds, timed

READ = (
    "Single files of different faces by draw_files (names to latents, inference, encoding, atomic writes, a SHA-256 "
    "each) with a thread for each CPU, into a temporary folder. Bare inference is onnxruntime with its defaults in "
    "batches of 64, and nothing else. One call is generate() of one name; one bare run draws one latent."
)
COUNT, ROUNDS = 1920, 6
FORMATS = (".png", ".webp", ".jpg")
BARE, CALL, RUN = "bare inference", "one call", "one bare run"


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds for COUNT files of each format, and for one face."""
    from avatar_runtime import AvatarGenerator
    from avatar_runtime.output.bulk import draw_files, numbered

    bare = bare_session(setting.model, setting.threads)
    generator, drawer = AvatarGenerator.from_session(bare), AvatarGenerator.load(setting.model, threads=1)
    z = np.zeros((64, generator.spec.latent_dim), np.float32)
    single = {
        RUN: lambda: timed(partial(bare.run, None, {"z": z[:1]}), 50, 5),
        CALL: lambda: timed(partial(generator.generate, ["alice"]), 50, 5),
    }
    one, _ = alternate(single, setting.rounds(ROUNDS))
    with tempfile.TemporaryDirectory() as folder:

        def write(extension: str) -> None:
            new = tempfile.mkdtemp(dir=folder)  # a new folder: ext4 takes twice as long to replace a file
            for _ in draw_files(drawer, numbered("S", COUNT), Path(new), extension):
                pass

        many = {BARE: lambda: timed(lambda: [bare.run(None, {"z": z}) for _ in range(COUNT // 64)])}
        many |= {extension: partial(timed, partial(write, extension)) for extension in FORMATS}
        turns, _ = alternate(many, setting.rounds(ROUNDS), say)
    ratios = {f"{extension} files, of {BARE}": ratio(turns[extension], turns[BARE]).to_dict() for extension in FORMATS}
    ratios[f"{CALL}, of {RUN}"] = ratio(one[CALL], one[RUN]).to_dict()
    return {"count": COUNT, "turns": turns, "one": one, "ratios": ratios}


def tables(part: dict[str, Any]) -> list[Table]:
    """A row for each format, and one call."""
    turns: dict[str, Turns] = part["turns"]
    one: dict[str, Turns] = part["one"]
    rows = [
        [name, milliseconds(seconds(row).over(part["count"])), f"{part['count'] / seconds(row).median:,.0f}",
         times(ratio(row, turns[BARE]))]
        for name, row in turns.items()
    ]  # fmt: skip
    single = [[name, milliseconds(seconds(row)), times(ratio(row, one[RUN]))] for name, row in one.items()]
    return [
        Table(f"{part['count']:,} single files", ["", "milliseconds each", "a second", f"of {BARE}"], rows),
        Table("One face", ["", "milliseconds", f"of {RUN}"], single),
    ]


def headline(part: dict[str, Any]) -> str:
    """Files per second."""
    turns = {name: part["turns"][name] for name in FORMATS if name in part["turns"]}
    said = (f"{part['count'] / seconds(row).median:,.0f} {name} a second" for name, row in turns.items())
    return f"Writes {', '.join(said)}."
