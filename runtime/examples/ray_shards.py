"""Avatars of all names in Parquet files, as WebDataset shards anywhere: python ray_shards.py NAMES.parquet OUT.

OUT is a folder that all machines see or an object store, as fsspec writes it: s3://bucket/faces. Needs the extra [ray].

A shard is a tar of 10,000 PNGs, called by its number, and holds the same bytes whoever draws it and however often. It
appears whole or not at all, and once it is there it is not drawn again: so run the same command again after any
failure. Ray itself gives the shards of a dead machine to others.
"""

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import fsspec
import pyarrow.parquet as parquet
import ray

from avatar_runtime import AvatarGenerator
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.bulk import CHUNK_SIZE
from avatar_runtime.output.picture import Picture


class Shard(NamedTuple):
    """Some of the names: rows first to last (exclusive) of a column of a Parquet file."""

    number: int
    path: str
    column: str
    first: int
    last: int


def shards(paths: list[str], column: str, size: int) -> Iterator[Shard]:
    """Divide the names of files, in order, into shards of size names; no shard spans two files."""
    number = 0
    for path in paths:
        with fsspec.open(path, "rb") as file:
            rows = parquet.ParquetFile(file).metadata.num_rows
        for first in range(0, rows, size):
            yield Shard(number, path, column, first, min(first + size, rows))
            number += 1


def names_of(shard: Shard) -> list[str]:
    """Read a shard's names, and of the file only the row groups that hold them."""
    names: list[str] = []
    begin = 0
    with fsspec.open(shard.path, "rb") as file:
        table = parquet.ParquetFile(file)
        for group in range(table.num_row_groups):
            end = begin + table.metadata.row_group(group).num_rows
            if begin < shard.last and end > shard.first:
                values = table.read_row_group(group, [shard.column])[shard.column].to_pylist()
                names += values[max(shard.first - begin, 0) : shard.last - begin]
            begin = end
    return names


def write_whole(url: str, data: bytes) -> None:
    """Write a file so that it is there whole or not at all. An object store does so by itself."""
    system, path = fsspec.core.url_to_fs(url)
    if "file" not in system.protocol:
        system.pipe_file(path, data)
        return
    from pathlib import Path

    from avatar_runtime.output.atomic import write_file

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_file(Path(path), data)


class Draw:
    """Made once in each of Ray's workers, which keeps its model for all the shards that it is given."""

    def __init__(self, out: str, model: str | None) -> None:
        self.out = out
        self.generator = AvatarGenerator.load(model, threads=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Draw one shard: returns its number and how many avatars were drawn."""
        shard = Shard(**row)
        names = names_of(shard)
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for first in range(0, len(names), CHUNK_SIZE):
                part = names[first : first + CHUNK_SIZE]
                for i, (name, image) in enumerate(zip(part, self.generator.generate(part), strict=True)):
                    key = f"{shard.number:06}-{first + i:06}"
                    add(archive, f"{key}.png", encode(image, ".png", Picture((name,)).text(self.generator)))
                    add(archive, f"{key}.json", json.dumps({"name": name}).encode())
        write_whole(shard_url(self.out, shard.number), tar.getvalue())
        return {"number": shard.number, "avatars": len(names)}


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file without time or owner, so that equal shards have equal bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def shard_url(out: str, number: int) -> str:
    """Where a shard goes."""
    return f"{out.rstrip('/')}/{number:06}.tar"


def done(out: str) -> set[int]:
    """The numbers of the shards that are there."""
    system, path = fsspec.core.url_to_fs(out)
    system.invalidate_cache()
    found = system.ls(path, detail=False) if system.exists(path) else []
    names = [entry.rsplit("/", 1)[-1] for entry in found]
    return {int(name[:-4]) for name in names if name.endswith(".tar") and name[:-4].isdigit()}


def draw(paths: list[str], out: str, column: str = "name", size: int = 10_000, model: str | None = None) -> int:
    """Draw the shards that are missing; returns how many avatars were drawn."""
    there = done(out)
    missing = [shard._asdict() for shard in shards(paths, column, size) if shard.number not in there]
    if not missing:
        return 0
    workers = max(1, int(ray.cluster_resources()["CPU"]) - 1)  # Ray itself needs one to hand the shards out
    drawn = ray.data.from_items(missing, override_num_blocks=len(missing)).map(
        Draw, fn_constructor_args=(out, model), compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    )
    return sum(int(row["avatars"]) for row in drawn.iter_rows())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="Parquet files, in an order that never changes")
    parser.add_argument("out")
    parser.add_argument("--column", default="name")
    parser.add_argument("--shard-size", type=int, default=10_000)
    parser.add_argument("--model", help="an id, such as anime-faces-128@1")
    given = parser.parse_args()
    ray.init()
    print(draw(given.names, given.out, given.column, given.shard_size, given.model), "avatars")
