"""avatar-serve as a process: it starts, answers, survives rudeness, and finishes what it took when told to stop."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.cli import main


@pytest.fixture
def server(tiny_model: Path) -> Iterator["subprocess.Popen[str]"]:
    program = shutil.which("avatar-serve", path=sysconfig.get_path("scripts"))
    assert program is not None
    process = subprocess.Popen([program, "--port", "0", "--model", str(tiny_model)], stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def port_of(server: "subprocess.Popen[str]") -> int:
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("it did not start")


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_finishes_what_it_took_when_it_is_told_to_stop(server: "subprocess.Popen[str]") -> None:
    port = port_of(server)
    answers: list[tuple[int, bytes]] = []
    asking = [
        threading.Thread(target=lambda i=i: answers.append(get(port, f"/grid.png?seed={i}&count=256")))
        for i in range(3)
    ]
    for thread in asking:
        thread.start()
    while not re.search(rb"avatar_under_way [1-9]", get(port, "/metrics")[1]) and not answers:
        pass
    server.send_signal(signal.SIGTERM)
    for thread in asking:
        thread.join()
    assert [status for status, _ in answers] == [200] * len(answers)
    assert answers
    assert server.wait(60) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    "rude",
    [
        b"",
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"GET /alice.png HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b".png HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /alice.png HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"POST /alice.png HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nabc",
        b"GET /alice.png HTTP/1.1\r\nHo",
    ],
)
def test_malformed_oversized_and_unfinished_requests_leave_it_serving(
    server: "subprocess.Popen[str]", rude: bytes
) -> None:
    port = port_of(server)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(rude)  # and says no more
        assert get(port, "/alice.png")[0] == 200
    assert get(port, "/alice.png")[0] == 200


def test_a_name_may_hold_anything(server: "subprocess.Popen[str]", tiny_model: Path) -> None:
    port = port_of(server)
    generator = AvatarGenerator.load(tiny_model)
    for name in ("a\nb", "\r\n\0", "100%", "a%2Fb", "../../etc/passwd", "//", "?#&=+ ", "grid", "\U0001f600" * 200):
        assert get(port, f"/{quote(name, safe='')}.png") == (200, Picture((name,)).render(generator, ".png")), name
    assert get(port, f"/{quote(chr(0x1F600) * 201)}.png")[0] == 400


def test_a_head_without_end_is_refused(server: "subprocess.Popen[str]") -> None:
    port = port_of(server)
    for start in (b"GET /", b"GET /alice.png HTTP/1.1\r\nX: "):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(start)
            with suppress(ConnectionError):  # it hangs up while we talk
                for _ in range(64):
                    connection.sendall(b"x" * 2**16)
                assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert get(port, "/alice.png")[0] == 200


def test_a_slow_client_is_waited_for_and_keeps_nobody(server: "subprocess.Popen[str]", tiny_model: Path) -> None:
    port = port_of(server)
    expected = Picture(("alice",)).render(AvatarGenerator.load(tiny_model), ".png")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        for byte in b"GET /alice.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            assert get(port, "/healthz")[0] == 200
            slow.sendall(bytes([byte]))
        assert b"".join(iter(lambda: slow.recv(500), b"")).endswith(expected)


def test_a_missing_model_is_a_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--model", str(tmp_path / "no.onnx")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "cannot read it" in result.output


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_a_sentence(tiny_model: Path, address: str) -> None:
    try:
        taken = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError:
        pytest.skip(f"this machine has no {address}")
    with taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["--model", str(tiny_model), "--host", address, "--port", port])
    assert result.exit_code == 2
    assert f"cannot listen on {address}, port {port}: Address already in use; choose another" in result.output


@pytest.mark.parametrize("address", ["no.such.host.invalid", "300.1.1.1", "a" * 300])
def test_an_address_that_is_none_is_a_sentence(tiny_model: Path, address: str) -> None:
    result = CliRunner().invoke(main, ["--model", str(tiny_model), "--host", address, "--port", "0"])
    assert result.exit_code == 2
    assert f"cannot listen on {address}, port 0: " in result.output


@pytest.mark.parametrize("package", ["starlette", "prometheus_client"])
def test_a_program_without_the_extra_is_told_the_line_that_mends_it(package: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
from avatar_runtime import AvatarError
try:
    from avatar_runtime.serve.app import create_app
except AvatarError as err:
    print(err)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"avatar_runtime.serve.app needs {package}")
    assert done.stdout.endswith(': pip install "avatar-edge[serve]"\n')
