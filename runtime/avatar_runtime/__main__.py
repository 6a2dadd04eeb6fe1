"""The command avatar-gen, or `python -m avatar_runtime`, as a process: `cli` does the work, this starts and ends it."""

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Run avatar-gen and end the process."""
    gc.disable()  # until all is imported: to look through it again and again takes 12 of 150 ms
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start threads for matrices, and we have none
    try:
        from avatar_runtime.command.cli import main

        main(prog_name="avatar-gen")
    except KeyboardInterrupt:  # before `cli` listens
        sys.exit(130)
    except SystemExit as end:
        # All is written and nobody waits: to take the interpreter apart takes 8 ms.
        if isinstance(end.code, int):
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
