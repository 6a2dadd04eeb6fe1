"""The files of runtime/deploy: nginx with our configuration in front of the service, and the units of systemd."""

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.running import ask, get, metric, port_of, running

pytestmark = pytest.mark.service

DEPLOY = Path(__file__).parents[2] / "runtime/deploy"


@pytest.fixture
def behind_nginx(tmp_path: Path, tiny_model: Path) -> Iterator[tuple[int, int]]:
    """The ports of nginx and of the service behind it."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running("--port", "0", "--model", str(tiny_model)) as server:
        text = (DEPLOY / "nginx.conf").read_text()
        for old, new in (
            ("server avatars:8000;", f"server 127.0.0.1:{port_of(server)};"),
            ("listen 8080;", f"listen 127.0.0.1:{port};"),
            ("/var/cache/nginx", str(tmp_path)),
            ("/tmp/nginx", f"{tmp_path}/nginx"),
        ):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "nginx.conf").write_text(f"user root;\ndaemon off;\n{text}")
        process = subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionError:
                    assert process.poll() is None, "nginx refuses its configuration"
                    time.sleep(0.05)
            address = text.partition("server 127.0.0.1:")[2].partition(";")[0]
            yield port, int(address)
        finally:
            process.terminate()
            process.wait(60)


def answer(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    return ask(port, path, **headers)[0]


def test_the_cache_keeps_what_it_may_and_nothing_else(behind_nginx: tuple[int, int]) -> None:
    port, own = behind_nginx
    for path, second in (
        ("/v1/tiny@1/alice.png", "HIT"),
        ("/v1/tiny@1/S%2F7.png?size=96", "HIT"),
        ("/alice.png", "HIT"),
        ("/alice.png?size=0", "MISS"),
        ("/v1/tiny@2/alice.png", "MISS"),
    ):
        first, again = answer(port, path), answer(port, path)
        assert (first.status, first.headers["X-Cache"]) == (again.status, "MISS")
        assert again.headers["X-Cache"] == second, path
        assert again.headers["Cache-Control"] == answer(own, path).headers["Cache-Control"]
        assert len(first.headers["X-Request-Id"]) == 32
        assert first.headers["X-Request-Id"] != again.headers["X-Request-Id"]
    tag = answer(port, "/alice.png").headers["ETag"]
    assert answer(port, "/alice.png", If_None_Match=tag).status == 304
    assert answer(port, "/metrics").status == answer(port, "/readyz").status == 404


def test_an_answer_by_accept_is_kept_for_each_header(behind_nginx: tuple[int, int]) -> None:
    port, _ = behind_nginx
    for accept, media_type in (("image/webp", "image/webp"), ("image/png", "image/png")) * 2:
        assert answer(port, "/v1/tiny@1/alice", Accept=accept).headers["Content-Type"] == media_type
    assert answer(port, "/v1/tiny@1/alice", Accept="image/png").headers["X-Cache"] == "HIT"


def test_the_cache_answers_in_place_of_the_service(behind_nginx: tuple[int, int]) -> None:
    port, own = behind_nginx
    for _ in range(20):
        assert get(port, "/v1/tiny@1/alice.png")[0] == 200
    assert metric(own, 'avatar_requests_total{status="200"}') == 1


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not installed")
    for name in ("avatar-serve.service", "avatar-serve.socket"):
        text = (DEPLOY / name).read_text().replace("/opt/avatar-edge/bin/avatar-serve", "/bin/true")
        (tmp_path / name).write_text(text)
    command = [analyse, "verify", str(tmp_path / "avatar-serve.service"), str(tmp_path / "avatar-serve.socket")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
