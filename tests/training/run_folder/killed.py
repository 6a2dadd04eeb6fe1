"""A training run that is killed at a chosen moment: `python killed.py CONFIG_JSON OUT MOMENT`; resumes what is in OUT.

Moments are what Python does to files in OUT (audit events: open, os.rename, os.remove, …) and each step done. MOMENT
is a regular expression: SIGKILL comes before the first moment whose description it matches. Or a number N: before the
N-th. Or "byte N": SIGXFSZ, as deadly, comes in the middle of writing byte N of a file. A run that ends prints how many
moments there were.
"""

import json
import os
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from avatar_training.config import TrainConfig
from avatar_training.loop import train


def main(config: TrainConfig, out: Path, moment: str) -> int:
    moments = 0

    def happens(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal moments
        description = f"{event} {arguments}"
        if str(out) in description:
            moments += 1
            if moments == int(moment) if moment.isdigit() else re.search(moment, description):
                os.kill(os.getpid(), signal.SIGKILL)

    if moment.startswith("byte "):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(moment[5:]), resource.RLIM_INFINITY))
    sys.addaudithook(happens)
    resume = (out / "config.json").exists()
    train(config, out, resume=resume, on_step=lambda progress: happens(f"step {progress.step}", (out,)))
    return moments


if __name__ == "__main__":
    moments = main(TrainConfig.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
    sys.stdout.write(f"{moments} moments\n")
