"""Are all names drawn, each once, while machines die? As root on Linux: `python -m benchmarks.studies.shards FOLDER`

Makes a Ray cluster of nodes that share nothing but the folder and the processors: each has a network namespace with an
address of its own on a bridge, its own processes, its own /dev/shm and its own /tmp/ray. There
runtime/examples/ray_shards.py draws the names of Parquet files. Some of the nodes are killed on the way, with all that
runs in them, as if the power were cut. In the end every shard is read: the names are there once each, in order, and a
sample of the pictures are the bytes that the library draws. Needs the extra [ray].
"""

import json
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

SCRIPT = Path(__file__).parents[2] / "runtime/examples/ray_shards.py"
SUBNET = "10.213.77"
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
OWN = "mkdir -p /tmp/ray; mount -t tmpfs ray /tmp/ray; mount -t tmpfs shm /dev/shm; ip link set lo up; "
START = f"{sys.executable} -m ray.scripts.scripts start --num-cpus 1 --object-store-memory 200000000 "
STARTED = "Ray runtime started."


@click.command(context_settings={"show_default": True})
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--names", "count", default=1_000_000, type=click.IntRange(min=1))
@click.option("--shard-size", default=10_000, type=click.IntRange(min=1))
@click.option("--nodes", default=4, type=click.IntRange(min=2), help="The first one also runs the job.")
@click.option("--kills", default=2, type=click.IntRange(min=0), help="Nodes to kill, at equal steps of the work.")
@click.option("--model", help="An id or a file; by default the package's model.")
@click.option("--sample", default=1000, type=click.IntRange(min=1), help="Pictures to compare with the library's.")
def main(folder: Path, count: int, shard_size: int, nodes: int, kills: int, model: str | None, sample: int) -> None:
    """Draw the shards, kill nodes, read everything back."""
    if kills >= nodes:
        raise click.UsageError("the first node runs the job and cannot be killed: --kills must be less than --nodes")
    if os.geteuid() != 0:
        raise click.UsageError("only root can make network namespaces")
    folder = folder.absolute()
    out = folder / "faces"
    if out.exists():
        raise click.UsageError(f"{out} is there already")
    names = [f"user {i}" for i in range(count)]
    paths = _write_names(folder, names, -(-count // 4))
    job = [sys.executable, str(SCRIPT), *map(str, paths), str(out), "--shard-size", str(shard_size)]
    job += ["--model", model] if model else []
    began = time.monotonic()
    with _cluster(folder, nodes, job) as running:
        shards = -(-count // shard_size)
        for dead in range(kills):
            _wait(out, shards * (dead + 1) // (kills + 1), running[0])
            victim = running.pop()
            victim.kill()
            victim.wait()
            print(f"{time.monotonic() - began:5.0f} s: {_there(out)} shards, a node dies", flush=True)
        status = running[0].wait()
        said = re.findall(r"(?m)^\d+ avatars$", (folder / "node0.log").read_text())
        print(f"{time.monotonic() - began:5.0f} s: {_there(out)} shards, the job says {said}, status {status}")
    _check(out, names, model, sample)


def _write_names(folder: Path, names: list[str], size: int) -> list[Path]:
    import pyarrow
    import pyarrow.parquet as parquet

    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for first in range(0, len(names), size):
        paths.append(folder / f"names{len(paths)}.parquet")
        parquet.write_table(pyarrow.table({"name": names[first : first + size]}), paths[-1], row_group_size=30_000)
    return paths


@contextmanager
def _cluster(folder: Path, nodes: int, job: list[str]) -> Iterator["list[subprocess.Popen[str]]"]:
    """The nodes; the first one runs the job once all have joined, and ends with it."""
    with ExitStack() as stack:
        bridge = f"shards{os.getpid()}"
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("link", "set", bridge, "up")
        running = []
        for node in range(nodes):
            name, address = f"{bridge}-{node}", f"{SUBNET}.{node + 1}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", f"s{os.getpid()}-{node}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"s{os.getpid()}-{node}", "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            where = f"--node-ip-address {address} "
            if node == 0:
                ray = f'{START}{where}--head --port 6379 --include-dashboard false; read go; exec "$@"'
            else:
                ray = f"{START}{where}--address {SUBNET}.1:6379 --block"
            log = folder / f"node{node}.log"
            own = ["ip", "netns", "exec", name, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
            process = subprocess.Popen(
                [*own, "sh", "-c", OWN + ray, "sh", *job],
                stdin=subprocess.PIPE,
                stdout=stack.enter_context(log.open("w")),
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **ENVIRONMENT, "RAY_ADDRESS": f"{SUBNET}.1:6379"},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(process)
            while STARTED not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.2)
        assert running[0].stdin is not None
        running[0].stdin.write("go\n")
        running[0].stdin.flush()
        yield running


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _there(out: Path) -> int:
    return len(list(out.glob("*.tar")))


def _wait(out: Path, shards: int, job: "subprocess.Popen[str]") -> None:
    while _there(out) < shards and job.poll() is None:
        time.sleep(0.2)


def _check(out: Path, names: list[str], model: str | None, sample: int) -> None:
    """Read every shard. Raises SystemExit if a name is lost, there twice, or has another face."""
    chosen = set(random.Random(0).sample(range(len(names)), min(sample, len(names))))
    found: list[str] = []
    pictures: dict[str, bytes] = {}
    size = 0
    for path in sorted(out.iterdir()):
        size += path.stat().st_size
        with tarfile.open(path) as archive:
            for entry in archive:
                file = archive.extractfile(entry)
                assert file is not None
                if entry.name.endswith(".png"):
                    if len(found) in chosen:
                        pictures[names[len(found)]] = file.read()
                else:
                    found.append(json.loads(file.read())["name"])
    generator = AvatarGenerator.load(model, threads=1)
    wrong = sum(Picture((name,)).render(generator, ".png") != data for name, data in pictures.items())
    print(
        f"{len(found)} avatars of {len(set(found))} names in {size / 1e9:.2f} GB; {len(pictures)} drawn again, ", end=""
    )
    print(f"{wrong} of them differ; the names are {'all there, once and in order' if found == names else 'NOT RIGHT'}")
    if found != names or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
