"""The command avatar-gen as a process, also as `python -m avatar_runtime`."""

import os

from avatar_runtime.command.process import run


def main() -> None:
    """Run avatar-gen and end the process."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start threads for matrices, and we have none
    run("avatar_runtime.command.cli", "avatar-gen", at_once=True)


if __name__ == "__main__":
    main()
