"""A million avatars by Ray, on as many machines as its cluster has: python ray_million.py --out-dir DIR.

The files are those that `avatar-gen --count 1000000 --seed team --out-dir DIR` writes, byte for byte. DIR must be one
that every machine sees. Needs the extra [ray].
"""

import argparse
from pathlib import Path
from typing import Any

import ray

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.bulk import draw_files


class Draw:
    """Made once in each of Ray's workers, which keeps its model for all the batches that it is given."""

    def __init__(self, seed: str, count: int, folder: str) -> None:
        self.generator = AvatarGenerator.load(threads=1)
        self.seed, self.width, self.folder = seed, len(str(count - 1)), Path(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The files of a batch of numbers."""
        avatars = ((f"{i:0{self.width}}", f"{self.seed}/{i}") for i in batch["id"])
        written = list(draw_files(self.generator, avatars, self.folder, workers=1))
        return {"file": [str(file.path) for file in written], "sha256": [file.sha256 for file in written]}


def draw(count: int, seed: str, folder: Path) -> int:
    """Draw the avatars of a series; returns how many files were written."""
    workers = max(1, int(ray.cluster_resources()["CPU"]) - 1)  # Ray itself needs one to hand the numbers out
    files = ray.data.range(count).map_batches(
        Draw,
        fn_constructor_args=(seed, count, str(folder.resolve())),
        batch_size=1024,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
    )
    return sum(1 for _ in files.iter_rows())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", default="team")
    parser.add_argument("--out-dir", type=Path, required=True)
    given = parser.parse_args()
    ray.init()
    print(draw(given.count, given.seed, given.out_dir), "files")
