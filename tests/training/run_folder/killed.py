"""A training run that is killed at a chosen moment: `python killed.py CONFIG_JSON OUT MOMENT`.

Moments are what Python does to files in OUT (audit events: open, os.rename, os.remove, …) and each step done. SIGKILL
comes before the first one whose description the regular expression MOMENT matches.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from avatar_training.config import TrainConfig
from avatar_training.loop import train


def main(config: TrainConfig, out: Path, moment: str) -> None:
    def happens(event: str, arguments: tuple[Any, ...]) -> None:
        description = f"{event} {arguments}"
        if str(out) in description and re.search(moment, description):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(happens)
    train(config, out, on_step=lambda progress: happens(f"step {progress.step}", (out,)))


if __name__ == "__main__":
    main(TrainConfig.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
