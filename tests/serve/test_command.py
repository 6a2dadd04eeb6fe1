"""avatar-serve as a process: it starts, answers, survives rudeness, and finishes what it took when told to stop."""

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.cli import main
from serve.running import children, get, metric, port_of, program, running
from tiny_model import tiny_weights, write_tiny_model


@pytest.fixture
def server(tiny_model: Path) -> Iterator["subprocess.Popen[str]"]:
    with running("--port", "0", "--model", str(tiny_model)) as process:
        yield process


def test_a_server_collects_its_garbage(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("avatar_runtime.serve.server.serve", lambda *_: seen.append(gc.isenabled()))
    gc.disable()  # as the command does while it imports
    try:
        CliRunner().invoke(main, ["--model", str(tiny_model), "--port", "0"], catch_exceptions=False)
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [True]


def test_it_finishes_what_it_took_when_it_is_told_to_stop(server: "subprocess.Popen[str]") -> None:
    port = port_of(server)
    answers: list[tuple[int, bytes]] = []
    asking = [
        threading.Thread(target=lambda i=i: answers.append(get(port, f"/v1/grids/tiny/{i}?count=100&size=128")))
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


def test_options_are_environment_variables(tiny_model: Path, tmp_path: Path) -> None:
    environment = {"AVATAR_MODEL": f"{tiny_model}", "AVATAR_PORT": "0", "AVATAR_PREFIX": "faces"}
    with running(environment=environment) as server:
        assert get(port_of(server), "/faces/v1/tiny@1/alice.png")[0] == 200
    result = CliRunner().invoke(main, env={"AVATAR_PORT": "tcp://10.0.0.1:80"})
    assert result.exit_code == 2
    assert "'tcp://10.0.0.1:80' is not a valid integer range" in result.output


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML without tomli")
def test_a_file_sets_options_which_the_environment_and_the_command_line_outweigh(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "avatar-edge.toml").write_text(
        f'[serve]\nmodel = ["{tiny_model}"]\nprefix = "file"\nport = 0\ncompatible = ["gravatar"]\n'
    )
    digest = "/avatar/c160f8cc69a4f0bf2b0362752353d060"
    with running(folder=tmp_path) as server:
        assert get(port_of(server), f"/file{digest}")[0] == 200
    with running(folder=tmp_path, environment={"AVATAR_PREFIX": "environment"}) as server:
        assert get(port_of(server), f"/environment{digest}")[0] == 200
    with running("--prefix", "option", folder=tmp_path, environment={"AVATAR_PREFIX": "environment"}) as server:
        assert get(port_of(server), f"/option{digest}")[0] == 200
    (tmp_path / "avatar-edge.toml").write_text("[serve]\nworkers = 0\n")
    with running(folder=tmp_path) as server:
        assert server.wait(60) == 2
        assert server.stderr is not None
        assert "(avatar-edge.toml sets it)" in server.stderr.read()


def test_workers_share_a_port_and_their_metrics_add_up(tiny_model: Path) -> None:
    with running("--workers", "3", "--port", "0", "--model", str(tiny_model)) as server:
        port = port_of(server)
        for i in range(60):
            assert get(port, f"/{i}.png")[0] == 200
        processes = children(server.pid)
        assert len(processes) == 3
        assert metric(port, 'avatar_requests_total{status="200"}') == 60
        cached = metric(port, "avatar_cached_bytes")
        os.kill(processes[0], signal.SIGKILL)
        while len(children(server.pid)) < 3 or processes[0] in children(server.pid):
            time.sleep(0.05)
        assert get(port, "/again.png")[0] == 200
        assert metric(port, 'avatar_requests_total{status="200"}') == 61
        assert metric(port, "avatar_cached_bytes") < cached
        second = CliRunner().invoke(main, ["--port", str(port), "--workers", "2"])
        assert (second.exit_code, "Address already in use" in second.output) == (2, True)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_workers_end_with_their_supervisor(tiny_model: Path) -> None:
    with running("--workers", "2", "--port", "0", "--model", str(tiny_model)) as server:
        port = port_of(server)
        server.kill()
        server.wait(60)
        for _ in range(600):
            try:
                get(port, "/healthz")
            except ConnectionError:
                return
            time.sleep(0.05)
        raise AssertionError("a worker still serves")


def test_a_worker_that_cannot_start_ends_all_with_one_sentence(tmp_path: Path) -> None:
    with running("--workers", "2", "--port", "0", "--model", str(tmp_path / "no.onnx")) as server:
        assert server.wait(60) == 1
        assert server.stderr is not None
        assert server.stderr.read().count("Error: ") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_reads_the_models_again_and_loses_nothing(tmp_path: Path, tiny_model: Path, workers: str) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_model.read_bytes())
    with running("--workers", workers, "--port", "0", "--model", str(model)) as server:
        port = port_of(server)
        before = get(port, "/alice.png")
        write_tiny_model(model, tiny_weights(seed=1))
        assert get(port, "/alice.png") == before
        server.send_signal(signal.SIGHUP)
        after = (200, Picture(("alice",)).render(AvatarGenerator.load(model), ".png"))
        answers = {before}
        for _ in range(2000):
            if before not in answers:
                break
            answers = {get(port, "/alice.png") for _ in range(8)}
        assert answers == {after}
        model.write_bytes(b"broken")
        server.send_signal(signal.SIGHUP)
        assert server.stderr is not None
        for line in server.stderr:
            if "the models were not read again" in line:
                break
        assert get(port, "/alice.png") == after


def test_the_access_log_is_json(tiny_model: Path) -> None:
    with running("--access-log", "--port", "0", "--model", str(tiny_model)) as server:
        get(port_of(server), "/alice.png?size=0")
        assert server.stderr is not None
        line = json.loads(server.stderr.readline())
    assert (line["address"], line["status"], line["level"]) == ("/alice.png?size=0", 400, "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_it_uses_the_socket_that_systemd_opened(tiny_model: Path, tmp_path: Path) -> None:
    """systemd passes handle 3, and the id of the process that is to take it."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    with socket.create_server(("127.0.0.1", 0)) as listener, told:
        port = listener.getsockname()[1]
        start = f'os.dup2({listener.fileno()}, 3); os.environ["LISTEN_PID"] = str(os.getpid())'
        code = f"import os, sys; {start}; os.execv(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", code, program(), "--model", str(tiny_model), "--port", "1"]
        environment = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running(command=command, environment=environment, handles=[listener.fileno(), 3]) as server:
            assert port_of(server) == port
            assert told.recv(100) == b"READY=1"
            assert get(port, "/alice.png")[0] == 200


def test_a_client_that_closes_its_half_still_gets_its_answers(
    server: "subprocess.Popen[str]", tiny_model: Path
) -> None:
    expected = Picture(("alice",)).render(AvatarGenerator.load(tiny_model), ".png")
    port = port_of(server)
    for count in (3, *[1] * 50):  # those after the first come from the cache, while the end of the request arrives
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"GET /alice.png HTTP/1.1\r\nHost: x\r\n\r\n" * count)
            connection.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: connection.recv(2**16), b"")).count(expected) == count


def test_a_program_without_the_extra_is_told_the_line_that_mends_it() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from avatar_runtime import AvatarError
try:
    from avatar_runtime.serve.app import create_app
except AvatarError as err:
    print(err)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == 'avatar_runtime.serve.app needs prometheus_client: pip install "avatar-edge[serve]"\n'
