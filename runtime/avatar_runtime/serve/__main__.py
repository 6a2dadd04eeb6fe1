"""The command avatar-serve as a process, also as `python -m avatar_runtime.serve`."""

import os

from avatar_runtime.command.process import run


def main() -> None:
    """Run avatar-serve and end the process."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start threads for matrices, and we have none
    run("avatar_runtime.serve.cli", "avatar-serve", at_once=True)


if __name__ == "__main__":
    main()
