"""runtime/examples/ray_shards.py: every name once, in shards that are whole, in an object store and without a node."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

pytestmark = pytest.mark.ray

SCRIPT = Path(__file__).parents[2] / "runtime/examples/ray_shards.py"
NAMES = [[f"user {i}" for i in range(250)], ["アリス", "", *(f"S/{i}" for i in range(120))]]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for needed in ("ray", "pyarrow", "fsspec"):
        pytest.importorskip(needed)
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return import_module("ray_shards")


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Parquet files of names, in row groups that shards do not fit."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = [str(tmp_path / f"names{i}.parquet") for i in range(len(NAMES))]
    for path, names in zip(paths, NAMES, strict=True):
        parquet.write_table(pyarrow.table({"id": range(len(names)), "name": names}), path, row_group_size=70)
    return paths


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of an object store on this machine."""
    pytest.importorskip("s3fs", reason="needs s3fs and moto[server]")
    server = pytest.importorskip("moto.server", reason="needs moto[server]").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    import s3fs

    s3fs.S3FileSystem().mkdir("faces")
    yield "s3://faces/all"
    server.stop()


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def check(shards: dict[str, bytes], size: int) -> None:
    """Every name is there once, in order, with the face that the library draws."""
    found: list[str] = []
    for name, data in sorted(shards.items()):
        files = members(data)
        assert len(files) <= 2 * size
        for i, key in enumerate(sorted(key[:-4] for key in files if key.endswith(".png"))):
            assert key == f"{int(name[:6]):06}-{i:06}"
            found.append(json.loads(files[f"{key}.json"])["name"])
    assert found == [name for names in NAMES for name in names]
    last = members(shards[max(shards)])
    expected = Picture((found[-1],)).render(AvatarGenerator.load(), ".png")
    assert last[max(key for key in last if key.endswith(".png"))] == expected


@pytest.mark.filterwarnings("ignore")  # those of the object store's client and server
def test_shards_in_an_object_store_appear_whole_and_are_drawn_once(
    job: ModuleType, tables: list[str], store: str
) -> None:
    import fsspec

    shards = list(job.shards(tables, "name", 100))
    assert [(shard.first, shard.last) for shard in shards] == [(0, 100), (100, 200), (200, 250), (0, 100), (100, 122)]
    draw = job.Draw(store, None)
    assert sum(draw(shard._asdict())["avatars"] for shard in shards) == 372
    assert job.done(store) == set(range(5))
    system = fsspec.filesystem("s3")
    before = {path.rsplit("/", 1)[-1]: system.cat_file(path) for path in system.ls("faces/all", detail=False)}
    check(before, 100)
    system.rm_file("faces/all/000002.tar")
    assert job.done(store) == {0, 1, 3, 4}
    draw(shards[2]._asdict())
    draw(shards[2]._asdict())
    assert system.cat_file("faces/all/000002.tar") == before["000002.tar"]


def test_nothing_is_lost_or_drawn_twice_when_a_node_dies(
    job: ModuleType, tables: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.cluster_utils import Cluster

    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        out = tmp_path / "faces"
        command = [sys.executable, str(SCRIPT), *tables, str(out), "--shard-size", "20"]
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            while not list(out.glob("*.tar")):
                assert process.poll() is None
                time.sleep(0.1)
            cluster.remove_node(nodes[0], allow_graceful=False)
            printed, _ = process.communicate(timeout=200)
        assert (process.returncode, printed.splitlines()[-1]) == (0, "372 avatars")
        assert sorted(path.name for path in out.iterdir()) == [f"{i:06}.tar" for i in range(20)]
        check({path.name: path.read_bytes() for path in out.iterdir()}, 20)
        again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        assert again.stdout.splitlines()[-1] == "0 avatars"
    finally:
        ray.shutdown()
        cluster.shutdown()
