"""Saved files that a bad disk or a stranger has changed: read from a copy, passed over, or refused in a sentence."""

import io
import json
import os
import random
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_training.archive import ZIP_ERRORS, ArchiveError, pack_arrays, read_arrays, read_pieces
from avatar_training.config import TrainConfig
from avatar_training.data.source import DataError, open_source
from avatar_training.errors import TrainingError
from avatar_training.report.recorder import Report
from avatar_training.run_folder import lock
from avatar_training.run_folder.record import has_record, read_record, refuse_changes, write_record

from .conftest import lying, zipped

CONFIG = TrainConfig("faces.zip", steps=9)
DATASET = {"images": 30, "sha256": "ab"}
RECORD = {"config": json.loads(json.dumps(CONFIG.to_dict())), "dataset": DATASET, "files": {}, "environment": {}}


def test_a_record_with_any_flipped_bit_is_read_from_its_copy(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    path = tmp_path / "config.json"
    sound = path.read_bytes()
    for place in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert read_record(tmp_path) == RECORD
    path.unlink()
    assert has_record(tmp_path)
    assert read_record(tmp_path) == RECORD


def test_a_record_whose_copies_are_both_damaged_is_refused_with_a_way_to_go_on(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    for name in ("config.json", ".config.json"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace('"steps": 9', '"steps": 8'))
    with pytest.raises(TrainingError, match=r"config.json is damaged \(its checksum.*--init-from"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *({"data": 5}, {"seed": 1.5}, {"keep": "2"}, {"steps": True}, {"rollback": 1}, {"loss": ["bce"]}),
        *({"latent_dim": 2 * 10**9}, {"ngf": 10**6}, {"steps": 10**400}, {"learning_rate": "2e-4"}),
        *({"rollbacks": 3}, {"batch_size": None}),
    ],
)
def test_a_record_without_a_checksum_needs_the_right_types(tmp_path: Path, change: dict[str, Any]) -> None:
    config = {**RECORD["config"], **change}
    (tmp_path / "config.json").write_text(json.dumps({**RECORD, "config": config}))
    with pytest.raises(TrainingError, match=f"damaged.*{next(iter(change))}|damaged.*iterable"):
        read_record(tmp_path)


def test_a_run_goes_on_with_the_files_it_was_started_with(tmp_path: Path) -> None:
    for name in ("critic", "network", "heads"):
        (tmp_path / name).write_bytes(name.encode())
    critic, network, heads, moved, newer = (
        str(tmp_path / name) for name in ("critic", "network", "heads", "moved", "newer")
    )
    config = CONFIG.with_changes(critic=(critic,), critic_network=(network,), feature_heads=heads)
    run = {"config": config.to_dict(), "files": config.file_digests()}
    assert not refuse_changes(run, config, tmp_path)
    with pytest.raises(TrainingError, match="or none, as --feature-heads; pass"):
        refuse_changes(run, config.with_changes(feature_heads=None), tmp_path)
    with pytest.raises(TrainingError, match="or none, as --critic and --critic-network; pass"):
        refuse_changes({**run, "files": {"feature_heads": run["files"]["feature_heads"]}}, config, tmp_path)
    (tmp_path / "moved").write_bytes(b"critic")
    assert not refuse_changes(run, config.with_changes(critic=(moved,)), tmp_path)
    (tmp_path / "newer").write_bytes(b"learnt from newer grades")
    assert refuse_changes(run, config.with_changes(critic=(newer,)), tmp_path)
    with pytest.raises(TrainingError, match="or none, as --critic and --critic-network; pass"):
        refuse_changes(run, config.with_changes(critic=(), critic_network=()), tmp_path)
    (tmp_path / "critic").write_bytes(b"written over")
    with pytest.raises(TrainingError, match="another file, or none, as --critic; pass"):
        refuse_changes(run, config, tmp_path)
    (tmp_path / "critic").write_bytes(b"critic")
    (tmp_path / "heads").write_bytes(b"retrained")
    with pytest.raises(TrainingError, match="another file, or none, as --feature-heads; pass"):
        refuse_changes(run, config, tmp_path)
    for path, words in ((tmp_path, "it is a folder"), (tmp_path / "none", "No such file"), ("/dev/zero", "a device")):
        with pytest.raises(TrainingError, match=f"cannot use {path}: .*{words}"):
            config.with_changes(feature_heads=str(path)).file_digests()


def test_a_report_passes_over_lines_and_pictures_that_are_damaged(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.record = RECORD
    faces = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), np.uint8)
    report.samples(faces)
    report.preview(0, faces)
    for step in range(1, 5):
        report.step(step=step, g_loss=0.5, d_loss=0.6, images_per_second=0.0)
    hostile = [
        *('{"step": 2, "g_loss": "0.5"}', '{"step": 1e400, "g_loss": 1}', '{"step": -1}', '{"step": 2, "g_loss": NaN}'),
        *('{"step": 2, "kid": 0.5}', '{"step": 2, "d_loss": 1' + "0" * 400 + "}", "[" * 10**5),
        *("[]", "4", '{"step": []}'),
        *('{"step": 2, "images_per_second": null}', '{"step": 2, "diversity": true}'),
    ]
    with report.stats.open("a") as file:
        file.write("\n".join(hostile) + "\n")
    (tmp_path / "previews/00000000.png").write_bytes(b"")
    (tmp_path / "dataset.png").unlink()
    report.preview(4, faces)
    said = report.rewind(4)
    assert [sentence.removeprefix(str(tmp_path)) for sentence in said] == [
        f"/stats.jsonl: damaged lines left out: {len(hostile)}",
        "/previews/00000000.png is damaged and left out",
    ]
    assert [json.loads(line)["step"] for line in report.stats.read_text().splitlines()] == [1, 2, 3, 4]
    assert "step 4" in (tmp_path / "report.html").read_text()


def test_a_lock_with_nonsense_in_it_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with lock.held(tmp_path):
        (tmp_path / ".lock.pid").write_bytes(b"\xff\x00\n\x1b[2J")
        with pytest.raises(TrainingError, match=r"^process is training in .*; stop it"), lock.held(tmp_path):
            pass


@pytest.mark.timeout(60)  # they would be read for ever
def test_devices_and_pipes_are_no_archives(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ArchiveError, match=r"it is a .*, not a file"):
            read_arrays(path)
        with pytest.raises(DataError, match=rf"{path} cannot be used: it is a .*, not a file; name a folder"):
            open_source(path)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_member_that_lies_about_its_size_stops_at_what_it_promised(method: int) -> None:
    import tracemalloc

    data = lying(zipped({"a.npy": bytes(2**26)}, method), 22, (99).to_bytes(4, "little"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        member = archive.infolist()[0]
        tracemalloc.start()
        with pytest.raises(ZIP_ERRORS):
            list(read_pieces(archive, member))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**24
    with pytest.raises(ArchiveError, match="damaged"):
        read_arrays(data)


@pytest.mark.parametrize("method", METHODS)
def test_a_sound_member_is_read_whole(method: int) -> None:
    contents = {"noise": random.Random(0).randbytes(3 * 2**20), "zeros": bytes(3 * 2**20), "empty": b""}
    with zipfile.ZipFile(io.BytesIO(zipped(contents, method))) as archive:
        for member in archive.infolist():
            pieces = list(read_pieces(archive, member))
            assert b"".join(pieces) == contents[member.filename]
            assert max(map(len, pieces), default=0) <= 2**20


def test_arrays_are_packed_as_numpy_reads_them_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", lambda *seconds: time.gmtime(0))
    arrays = {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.eye(3)), "t": np.array(["é", "b"])}
    packed = pack_arrays(**arrays, one=np.float32(1), none=np.zeros((0, 3)))
    mine, numpys = read_arrays(packed), dict(np.load(io.BytesIO(packed)))
    assert list(mine) == list(numpys)
    for name, array in numpys.items():
        assert (mine[name].dtype, mine[name].shape) == (array.dtype, array.shape)
        assert (mine[name] == array).all()


def test_arrays_of_objects_or_of_another_size_are_refused() -> None:
    def packed(header: str) -> bytes:
        array = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
        return zipped({"a.npy": array}, zipfile.ZIP_STORED)

    for shape, kind in (("(1,)", "|O"), ("(10**9,)", "<f8"), ("(1000000000,)", "<f8"), ("(-1,)", "<f8"), ("3", "<f8")):
        with pytest.raises(ArchiveError, match="damaged"):
            read_arrays(packed(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n"))
    with pytest.raises(ArchiveError, match="damaged"):
        read_arrays(packed("(" * 3000))
