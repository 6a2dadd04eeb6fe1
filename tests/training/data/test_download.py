"""--download against a server of this machine that breaks every promise."""

import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from avatar_runtime.errors import DownloadError
from avatar_training.data.download import download
from file_server import FileServer

from ..conftest import avatar_train, lying, png, refused, zipped

FACES = zipped({f"faces/{i}.png": png(i) for i in range(40)}, zipfile.ZIP_STORED)
BOMB = zipped({"a.png": bytes(2**23)})


@pytest.fixture
def site(file_server: FileServer) -> FileServer:
    """A server that has the archive."""
    file_server.data = FACES
    return file_server


def address(site: FileServer) -> str:
    return f"{site.url}/faces.zip"


def fetch(site: FileServer, path: Path, **options: Any) -> int:
    return download(address(site), path, timeout=0.5, **options)


def left(folder: Path) -> list[str]:
    """The files of a folder, but for lock files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_an_archive_comes_whole_and_is_not_fetched_twice(site: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = tmp_path / "deep/er/faces.zip"
    assert fetch(site, path, on_received=lambda *progress: seen.append(progress)) == 40
    assert path.read_bytes() == FACES
    assert path.stat().st_mode & 0o777 == 0o644
    assert seen[-1] == (len(FACES), len(FACES))
    assert fetch(site, path) == 40
    assert (len(site.requests), left(path.parent)) == (1, ["faces.zip"])


@pytest.mark.parametrize("script", [["cut"], ["stall"], ["long"], ["cut", "503", "stall", "429"], ["503"]])
def test_a_broken_transfer_starts_again(site: FileServer, tmp_path: Path, script: list[str]) -> None:
    site.script, messages = script.copy(), list[str]()
    assert fetch(site, tmp_path / "faces.zip", on_message=messages.append) == 40
    assert (tmp_path / "faces.zip").read_bytes() == FACES
    assert left(tmp_path) == ["faces.zip"]
    assert len(messages) == len(script)
    assert all("the transfer failed" in message for message in messages)


def test_a_transfer_that_never_succeeds_is_given_up_and_nothing_is_kept(site: FileServer, tmp_path: Path) -> None:
    site.script = ["cut", *["503"] * 20]
    with pytest.raises(DownloadError, match="the server answers 503 Service Unavailable; tried 3 times"):
        fetch(site, tmp_path / "faces.zip", retries=2)
    assert (len(site.requests), left(tmp_path)) == (3, [])


def damaged() -> bytes:
    data = bytearray(FACES)
    data[1000:1010] = bytes(10)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "manner", "message"),
    [
        (FACES, "cut, unsized", "not an undamaged zip"),
        (FACES, "short", "not an undamaged zip"),  # it says it is half as long, and the rest stays unread
        (FACES[:-9], "good", "not an undamaged zip"),
        (b"<html>Log in first</html>", "good", "not an undamaged zip"),
        (b"", "good", "not an undamaged zip"),
        (damaged(), "good", r"not an undamaged zip \(faces/0.png is damaged\)"),
        (BOMB, "good", "zip bomb: it would unpack to 8,388,608 bytes"),
        (lying(BOMB, 22, (99).to_bytes(4, "little")), "good", r"not an undamaged zip \(a.png is damaged\)"),
    ],
)
def test_a_damaged_or_lying_file_is_not_kept(
    site: FileServer, tmp_path: Path, data: bytes, manner: str, message: str
) -> None:
    site.data, site.script = data, [manner]
    with pytest.raises(DownloadError, match=message):
        fetch(site, tmp_path / "faces.zip")
    assert left(tmp_path) == []


def test_an_endless_file_is_given_up(site: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_runtime.download.MAX_BYTES", 2**18)
    site.data, site.script = bytes(2**20), ["unsized"]
    with pytest.raises(DownloadError, match="sends more than"):
        fetch(site, tmp_path / "faces.zip")
    assert left(tmp_path) == []


def test_a_file_larger_than_the_disk_is_refused_at_once(
    site: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(DownloadError, match=f"has {len(FACES):,} bytes, but .* has only 1,000 free"):
        fetch(site, tmp_path / "faces.zip")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "url", "message"), [("faces.tar", None, "end in .zip"), ("f.zip", "file:///etc", "web address")]
)
def test_what_cannot_be_fetched_is_said(
    site: FileServer, tmp_path: Path, path: str, url: str | None, message: str
) -> None:
    with pytest.raises(DownloadError, match=message):
        download(url or address(site), tmp_path / path)
    site.script = ["404"]
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.0.0.1:\d+/faces.zip: the server answers 404"):
        fetch(site, tmp_path / "faces.zip")
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.0.0.1:1/f.zip: .*refused"):
        download("http://127.0.0.1:1/f.zip", tmp_path / "faces.zip")
    (tmp_path / "faces.zip").write_bytes(b"half of a zip")
    with pytest.raises(DownloadError, match=r"already exists but is not an undamaged zip .* move it away"):
        fetch(site, tmp_path / "faces.zip")
    assert left(tmp_path) == ["faces.zip"]


def test_of_two_downloads_into_one_file_the_second_waits_and_finds_it(site: FileServer, tmp_path: Path) -> None:
    found, waits = list[int](), threading.Event()

    def note(message: str) -> None:
        if "another process is fetching" in message:
            waits.set()

    second = threading.Thread(target=lambda: found.append(fetch(site, tmp_path / "faces.zip", on_message=note)))

    def on_received(received: int, total: int | None) -> None:
        if not second.ident:
            second.start()
            assert waits.wait(10)

    assert fetch(site, tmp_path / "faces.zip", on_received=on_received) == 40
    second.join()
    assert (found, len(site.requests)) == ([40], 1)


def test_the_command_fetches_then_trains(site: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = ["--batch-size", "4", "--image-size", "32", "--ngf", "8", "--ndf", "8", "--steps", "1"]
    command = ["--data", "new/faces.zip", "--download", address(site), *sizes]
    result = avatar_train(*command, "--dry-run")
    assert (result.exit_code, site.requests) == (0, [])
    result = avatar_train(*command)
    assert result.exit_code == 0, result.output
    assert "40 files, undamaged" in result.stderr
    assert "40 images" in result.stderr
    site.script = ["404"]
    refused(avatar_train("--data", "b.zip", "--download", address(site), *sizes))
    assert left(tmp_path) == ["new", "runs"]
