"""How many requests does avatar-serve answer? `python -m benchmarks.studies.serve [--memory]`

Starts avatar-serve and requests avatars of different names over persistent connections from 1, 16 and 128 clients on
the same machine. Every answer is compared with what the library draws. Prints throughput beside two rates of the
library, both with encoding: its best, and its rate for as many images at a time as there are clients. The clients are
one loop over raw sockets; they share the CPUs with the server, and their CPU time is printed. --memory continues until
the server's cache is full.
"""

import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import click
import numpy as np

from avatar_runtime import AvatarGenerator
from avatar_runtime.cpus import cpu_limit
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import series
from avatar_runtime.output.bulk import CHUNK_SIZE
from avatar_runtime.output.parallel import in_order
from avatar_runtime.output.picture import Picture


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(min=1), help="Rounds for each number of clients.")
@click.option("--requests", default=600, type=click.IntRange(min=100), help="Requests in each round.")
@click.option("--clients", "numbers", default=(1, 16, 128), multiple=True, type=click.IntRange(min=1))
@click.option("--memory", is_flag=True, help="Instead, 40,000 requests: four times what the server's cache holds.")
def main(rounds: int, requests: int, numbers: tuple[int, ...], memory: bool) -> None:
    """Load avatar-serve and compare it with the library."""
    with running_server() as (port, pid):
        _load(port, list(series("warm", 200)), 16)
        if memory:
            for i in range(20):
                _load(port, list(series(f"memory{i}", 2000)), 128)
                print(f"{(i + 1) * 2000:6} requests: {resident(pid)} MiB, {cached(port)} MiB of them cached pictures")
            return
        for number in numbers:
            print(_line(port, pid, number, rounds, requests))
        names = list(series(f"{numbers[-1]} clients, {rounds - 1}", requests))
        began = time.monotonic()
        _load(port, names, numbers[-1])
        print(f"the last round once more, from the cache: {requests / (time.monotonic() - began):.0f} images/s")


def _line(port: int, pid: int, clients: int, rounds: int, requests: int) -> str:
    """A line for a number of clients. In each round the library and the server take turns; ratios compare one round."""
    found: dict[str, list[float]] = {key: [] for key in ("rate", "of best", "of alike", "server", "client")}
    latencies: list[float] = []
    wrong = 0
    for i in range(rounds):
        names = list(series(f"{clients} clients, {i}", requests))
        expected, best = best_of_library(names)
        alike = _at_a_time(names, clients)
        began, before = time.monotonic(), (cpu_seconds(pid), time.process_time())
        answers, seconds = _load(port, names, clients)
        rate = requests / (time.monotonic() - began)
        cpu = [
            (now - then) / requests * 1000
            for now, then in zip((cpu_seconds(pid), time.process_time()), before, strict=True)
        ]
        for key, value in zip(found, (rate, rate / best, rate / alike, *cpu), strict=True):
            found[key].append(value)
        latencies += seconds
        wrong += sum(answers[name] != expected[name] for name in names)
    rate, of_best, of_alike, server, client = (float(np.median(values)) for values in found.values())
    p50, p99 = np.percentile(latencies, (50, 99)) * 1000
    return (
        f"{clients:4} clients: {rate:5.0f} images/s, {of_best:.2f} ({min(found['of best']):.2f} to "
        f"{max(found['of best']):.2f}) of the library's best, {of_alike:.2f} of its rate for {clients} at a time; "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; CPU for an image: server {server:.2f} ms, client {client:.2f} ms; "
        f"{wrong} wrong; {resident(pid)} MiB"
    )


def best_of_library(names: list[str]) -> tuple[dict[str, bytes], float]:
    """Draw and encode the names as fast as the library can: the files, and images per second."""
    generator = AvatarGenerator.load(threads=1)

    def draw(part: list[str]) -> list[bytes]:
        return [_file(generator, *drawn) for drawn in zip(part, generator.generate(part), strict=True)]

    began = time.monotonic()
    parts = (names[i : i + CHUNK_SIZE] for i in range(0, len(names), CHUNK_SIZE))
    files = [file for part in in_order(draw, parts, cpu_limit()) for file in part]
    return dict(zip(names, files, strict=True)), len(names) / (time.monotonic() - began)


def _at_a_time(names: list[str], count: int) -> float:
    """Images per second when count at a time are drawn and encoded, and the next wait for the last."""
    generator = AvatarGenerator.load()
    with ThreadPoolExecutor(cpu_limit()) as pool:
        began = time.monotonic()
        for i in range(0, len(names), count):
            part = names[i : i + count]
            list(pool.map(_file, [generator] * len(part), part, generator.generate(part)))
        return len(names) / (time.monotonic() - began)


def _file(generator: AvatarGenerator, name: str, image: UInt8) -> bytes:
    return encode(image, ".png", Picture((name,)).text(generator))


@contextmanager
def running_server(*options: str) -> Iterator[tuple[int, int]]:
    """The port of an avatar-serve, and the id of its process."""
    program = Path(sys.executable).with_name("avatar-serve")
    process = subprocess.Popen([program, "--port", "0", *options], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1]), process.pid
                break
    finally:
        process.terminate()
        process.communicate()


def _load(port: int, names: list[str], clients: int) -> tuple[dict[str, bytes], list[float]]:
    """Request the names over this many connections: the answers, and the seconds that each took."""
    answers: dict[str, bytes] = {}
    seconds: list[float] = []
    left = iter(names)

    def client(connection: socket.socket) -> Iterator[None]:
        """One client; it yields while it waits for its socket."""
        for name in left:
            began, received, length = time.monotonic(), b"", -1
            connection.sendall(b"GET /%b.png HTTP/1.1\r\nHost: localhost\r\n\r\n" % quote(name).encode())
            while len(received) != length:
                yield
                received += connection.recv(2**16)
                body = received.find(b"\r\n\r\n") + 4
                if length < 0 and body >= 4:
                    found = re.search(rb"content-length: (\d+)", received[:body])
                    length = body + (int(found[1]) if found else 0)
            answers[name] = received[body:]
            seconds.append(time.monotonic() - began)

    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            connection = socket.create_connection(("127.0.0.1", port))
            selector.register(connection, selectors.EVENT_READ, client(connection))
            next(selector.get_key(connection).data, None)
        while len(answers) < len(names):
            for key, _ in selector.select():
                next(key.data, None)
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are sockets
    return answers, seconds


def resident(pid: int) -> int:
    """Resident memory of a process and its children in MiB; what they share counts for each."""
    found = (Path(f"/proc/{process}/status").read_text() for process in _family(pid))
    return sum(int(status.split("VmRSS:")[1].split()[0]) for status in found) // 1024


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its children have used."""
    found = (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in _family(pid))
    return sum(int(fields[11]) + int(fields[12]) for fields in found) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cached(port: int) -> int:
    """MiB of pictures in the server's cache, by its metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(rb"(?m)^avatar_cached_bytes (\S+)", answer.read())
    assert found is not None
    return int(float(found[1])) // 2**20


if __name__ == "__main__":
    main()
