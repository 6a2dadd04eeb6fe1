"""What clients may do to a server, and thousands at once: others are served, and nothing is left open."""

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture
from serve.running import get, port_of, running

pytestmark = pytest.mark.service

IDLE = 10_000
PATIENCE = 20
"""Seconds after which the server may close a connection that makes no progress; at most twice as many."""


def handles(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def handles_at_rest(pid: int) -> int:
    """Those that stay for a while: a connection that was answered is closed a little later."""
    counts: list[int] = []
    while len(counts) < 10 or len(set(counts[-10:])) > 1:
        counts.append(handles(pid))
        time.sleep(0.05)
    return counts[-1]


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0)
    with suppress(BlockingIOError):
        try:
            return connection.recv(1) == b""
        except ConnectionError:
            return True
    return False


def test_ten_thousand_idle_connections_and_slow_ones(tiny_model: Path) -> None:
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE + 1000:
        pytest.skip(f"this process may not open {IDLE} connections: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with running("--port", "0", "--model", str(tiny_model)) as server, ExitStack() as stack:
        port = port_of(server)
        assert get(port, "/alice.png")[0] == 200
        before = handles_at_rest(server.pid)
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(IDLE)]
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"GET /alice.png HTTP/1.1\r\nX-Slow: ")
        assert get(port, "/alice.png")[0] == 200, "it comes after all of them in the queue"
        assert handles(server.pid) - before + sum(map(is_closed, idle)) >= IDLE, "all were accepted"
        began = time.monotonic()
        answered = 0
        while not all(map(is_closed, idle[::100])) or not all(map(is_closed, slow[::10])):
            assert get(port, f"/{answered}.png")[0] == 200
            answered += 1
            for connection in slow:
                with suppress(OSError):
                    connection.send(b"x")
            assert time.monotonic() - began < 3 * PATIENCE
        assert answered > 20
        assert all(map(is_closed, idle))
        assert all(map(is_closed, slow))
        assert handles(server.pid) <= before + 2


def test_a_client_that_reads_nothing_is_dropped(tiny_model: Path) -> None:
    with running("--port", "0", "--model", str(tiny_model)) as server, socket.socket() as connection:
        port = port_of(server)
        assert get(port, "/alice.png")[0] == 200
        before = handles_at_rest(server.pid)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /v1/grids/tiny/x?count=100&size=128 HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        assert get(port, "/alice.png")[0] == 200
        assert handles_at_rest(server.pid) == before + 1
        began = time.monotonic()
        while handles(server.pid) > before:
            assert get(port, "/alice.png")[0] == 200
            time.sleep(0.2)
            assert time.monotonic() - began < 4 * PATIENCE


def test_a_megabyte_of_headers_and_half_closed_connections(tiny_model: Path) -> None:
    expected = Picture(("alice",)).render(AvatarGenerator.load(tiny_model), ".png")
    with running("--port", "0", "--model", str(tiny_model)) as server, ExitStack() as stack:
        port = port_of(server)
        get(port, "/alice.png")
        before = handles_at_rest(server.pid)
        for _ in range(200):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            half.sendall(b"GET /alice.png HTTP/1.1\r\nHost: x\r\n\r\n")
            half.shutdown(socket.SHUT_WR)
            with socket.create_connection(("127.0.0.1", port), 60) as large, suppress(ConnectionError):
                large.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2**18)
                answer = large.recv(100)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
            with half.makefile("rb") as answer_file:
                assert answer_file.read().endswith(expected)
        assert handles(server.pid) <= before + 2
