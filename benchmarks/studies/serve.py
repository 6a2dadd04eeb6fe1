"""What avatar-serve bears: python -m benchmarks.studies.serve

Starts avatar-serve, asks for avatars of different names over kept connections from 1, 16 and 128 clients on the same
machine, compares every answer with what the library draws, and prints throughput beside the library's own rate for as
many images, drawn in batches and encoded. Clients and server share the processors, so the ratio is a lower bound.
"""

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from avatar_runtime import AvatarGenerator
from avatar_runtime.cpus import cpu_limit
from avatar_runtime.latents import series
from avatar_runtime.picture import Picture
from avatar_runtime.pixels import encode


@click.command(context_settings={"show_default": True})
@click.option("--requests", default=2000, type=click.IntRange(min=100), help="Requests for each number of clients.")
@click.option("--clients", "numbers", default=(1, 16, 128), multiple=True, type=click.IntRange(min=1))
def main(requests: int, numbers: tuple[int, ...]) -> None:
    """Load avatar-serve and compare with the library."""
    expected, rate = _library(list(series("warm", requests)))
    print(f"library, in batches of 64 and encoded by a thread for each CPU: {rate:.0f} images/s")
    with _server() as (port, pid):
        asyncio.run(_load(port, list(series("before", 200)), 16))
        memory = [_resident(pid)]
        for number in numbers:
            names = list(series(f"c{number}", requests))
            expected, rate = _library(names)
            began = time.monotonic()
            answers, seconds = asyncio.run(_load(port, names, number))
            throughput = requests / (time.monotonic() - began)
            wrong = sum(answers[name] != expected[name] for name in names)
            p50, p99 = (np.percentile(seconds, q) * 1000 for q in (50, 99))
            memory.append(_resident(pid))
            print(
                f"{number:4} clients: {throughput:6.0f} images/s, {throughput / rate:.2f} of the library's {rate:.0f}; "
                f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; {wrong} wrong images; {memory[-1]} MiB"
            )
        again = asyncio.run(_load(port, list(series(f"c{numbers[-1]}", requests)), numbers[-1]))
        print(f"the same once more, from the cache: p50 {statistics.median(again[1]) * 1000:.1f} ms")


def _library(names: list[str]) -> tuple[dict[str, bytes], float]:
    """The files of names, and images/s of drawing and encoding them as fast as the library can."""
    generator = AvatarGenerator.load()
    began = time.monotonic()
    with ThreadPoolExecutor(cpu_limit()) as pool:
        images = (image for part in generator.stream(names) for image in part)
        files = pool.map(
            lambda pair: encode(pair[1], ".png", Picture((pair[0],)).text(generator)), zip(names, images, strict=True)
        )
        found = dict(zip(names, files, strict=True))
    return found, len(names) / (time.monotonic() - began)


@contextmanager
def _server() -> Iterator[tuple[int, int]]:
    program = Path(sys.executable).with_name("avatar-serve")
    process = subprocess.Popen([program, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1]), process.pid
                break
    finally:
        process.terminate()
        process.communicate()


async def _load(port: int, names: list[str], clients: int) -> tuple[dict[str, bytes], list[float]]:
    """Ask for names over so many connections: the answers and the seconds that each took."""
    answers: dict[str, bytes] = {}
    seconds: list[float] = []
    left = iter(names)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for name in left:
            began = time.monotonic()
            writer.write(f"GET /{name}.png HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            answers[name] = await reader.readexactly(int(length[1]) if length else 0)
            seconds.append(time.monotonic() - began)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers, seconds


def _resident(pid: int) -> int:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
