"""Feed mutated files of one kind to what reads them, in a process of its own: a native crash must not end the test.

Called as: worker.py KIND SOUND_FILE SEED COUNT FOLDER. The input being tried is always FOLDER/input.KIND. Ends with 0
if every input was read or refused by an AvatarError; else it says what happened and leaves the input.
"""

import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from avatar_runtime import AvatarError, AvatarGenerator
from fuzz.mutations import mutated

MEMORY = 2**30
SECONDS = 10


def read_checkpoint(path: Path) -> None:
    from avatar_export.pipeline import build_graph
    from avatar_export.source.original import read_weights
    from avatar_export.variants import Variant

    build_graph(read_weights(path, "-1..1"), Variant())


def read_model(path: Path) -> None:
    generator = AvatarGenerator.load(path, threads=1)
    generator.generate(["alice"])


READERS: dict[str, Callable[[Path], None]] = {
    "ckpt": read_checkpoint,
    "safetensors": read_checkpoint,
    "onnx": read_model,
    "ort": read_model,
}


def main(kind: str, sound_file: str, seed: str, count: str, folder: str) -> None:
    sound, path, read = Path(sound_file).read_bytes(), Path(folder, f"input.{kind}"), READERS[kind]
    path.write_bytes(sound)
    read(path)  # the sound file is read; and what is loaded once is loaded before memory is limited
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    rng, refused = random.Random(int(seed)), 0
    for i in range(int(count)):
        path.write_bytes(mutated(sound, rng))
        signal.alarm(SECONDS)  # nobody catches it: it ends the process
        try:
            read(path)
        except AvatarError as err:
            refused += 1
            if "\n" in str(err) or not str(err):
                sys.exit(f"input {i}: its refusal is not a sentence: {err}")
            if kind != "ort" and "alloc" in str(err):  # of an .ort, onnxruntime works out no shape before it runs
                sys.exit(f"input {i}: more than 1 GiB was asked for: {err}")
        except BaseException:
            sys.exit(f"input {i}: {traceback.format_exc()}")
    signal.alarm(0)
    sys.stdout.write(f"{refused} of {count} refused\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
