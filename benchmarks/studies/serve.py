"""avatar-serve under wrk, beside uvicorn's hello-world: `python -m benchmarks.studies.serve [--soak MINUTES]`

wrk (https://github.com/wg/wrk) loads three things in turn over 64 connections, on the same machine: an application of
uvicorn that answers "Hello, world!", which is the ceiling; one avatar again and again, from the cache; and a new name
each time. Both servers have a process per CPU. Between them the library draws and encodes as fast as it can. Ratios
compare what ran in the same round; the CPU time for an answer depends least on what else the machine does. At the end
the server is started again and again, for the time to the first picture. It takes two minutes.
--soak MINUTES asks for new names for that long, and prints the server's memory.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import click
import numpy as np

from avatar_runtime import AvatarGenerator
from avatar_runtime.cpus import cpu_limit
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import series
from avatar_runtime.model_file.registry import default_model
from avatar_runtime.output.bulk import CHUNK_SIZE
from avatar_runtime.output.parallel import in_order
from avatar_runtime.output.picture import Picture

HELLO = """
import os, socket, sys
import uvicorn

async def app(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})

port, workers = map(int, sys.argv[1:])
for _ in range(workers - 1):
    if not os.fork():
        break
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so asyncio sets TCP_NODELAY
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", port))
config = uvicorn.Config(app, http="httptools", lifespan="off", log_level="error", access_log=False)
uvicorn.Server(config).run([listener])
"""
NEW_NAMES = """
count = 0
thread = string.match(tostring({}), "0x%x+")
request = function()
  count = count + 1
  return wrk.format("GET", "/" .. thread .. "-" .. count .. ".png")
end
"""


IMPORTS = "import click, httptools, numpy, onnxruntime, prometheus_client, uvicorn"
"""What avatar-serve needs before it can answer; it loads Pillow for other formats than PNG only."""


class _Found(NamedTuple):
    """What a round found."""

    rate: float
    """Answers a second."""
    cpu: float
    """ms of CPU time for an answer."""
    p99: float = float("nan")
    """Of the latency, in ms."""


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(min=1))
@click.option("--seconds", default=5, type=click.IntRange(min=1), help="Of each measurement.")
@click.option("--clients", default=64, type=click.IntRange(min=1))
@click.option("--workers", default=cpu_limit(), type=click.IntRange(min=1), help="Processes of each server.")
@click.option("--soak", type=float, metavar="MINUTES", help="Instead, ask for new names for that long.")
@click.option(
    "--pause", default=0, type=click.IntRange(min=0), help="ms that a client waits between names of the soak."
)
def main(rounds: int, seconds: int, clients: int, workers: int, soak: float | None, pause: int) -> None:
    """Load avatar-serve by wrk."""
    with tempfile.TemporaryDirectory() as folder, _running_server("--workers", str(workers)) as (port, pid):
        script = Path(folder) / "names.lua"
        script.write_text(NEW_NAMES + (f"delay = function() return {pause} end" if soak and pause else ""))
        address = f"http://127.0.0.1:{port}"
        if soak is not None:
            _soak(address, pid, script, clients, soak)
            return
        hello, cached, library, drawn = [], [], [], []
        with _hello(workers) as (hello_address, hello_pid):
            for i in range(rounds):
                hello.append(_wrk(hello_address, hello_pid, clients, seconds))
                cached.append(_wrk(f"{address}/v1/{default_model()}/alice.png", pid, clients, seconds))
                names, before = list(series(f"round {i}", 1000)), time.process_time()
                rate = _rate_of_library(names)
                library.append(_Found(rate, (time.process_time() - before) / len(names) * 1000))
                drawn.append(_wrk(address, pid, clients, seconds, script))
    print(f"{clients} clients, {workers} processes, medians of {rounds} rounds of {seconds} s")
    print("Ratios compare what ran in the same round.\n")
    print("| | answers a second | of | p99 | CPU time for an answer |\n|---|---|---|---|---|")
    _print_row("hello-world", hello)
    _print_row("one avatar from the cache", cached, hello)
    _print_row("the library's drawing and encoding", library)
    _print_row("a new name each time", drawn, library)
    print()
    for count in sorted({1, workers}):
        begun, imported = zip(*(_cold_start(count) for _ in range(2 * rounds)), strict=True)
        ratios = np.divide(begun, imported)
        print(
            f"{count} processes from the start to the first answer: {np.median(begun):.2f} s, {np.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) of the {np.median(imported):.2f} s that importing its "
            "dependencies takes"
        )


def _print_row(name: str, found: list[_Found], ceiling: list[_Found] | None = None) -> None:
    """Print a row of the table; ceiling is what it is compared with."""
    of = ""
    if ceiling is not None:
        ratios = [one.rate / most.rate for one, most in zip(found, ceiling, strict=True)]
        of = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the row above"
    rate, cpu, p99 = np.median(found, axis=0)
    print(f"| {name} | {rate:,.0f} | {of} | {'' if np.isnan(p99) else f'{p99:.0f} ms'} | {cpu:.3f} ms |")


def _cold_start(workers: int) -> tuple[float, float]:
    """Seconds from the start of avatar-serve to its first picture, and those that importing its dependencies takes."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    imported = time.monotonic() - began
    began = time.monotonic()
    with _running_server("--workers", str(workers)) as (port, _):
        urlopen(f"http://127.0.0.1:{port}/alice.png").close()
        return time.monotonic() - began, imported


def _soak(address: str, pid: int, script: Path, clients: int, minutes: float) -> None:
    """Print the memory every half minute."""
    began = time.monotonic()
    print(f"   0.0 min:         0 answers, {_resident(pid)} MiB", flush=True)
    while time.monotonic() - began < 60 * minutes:
        found = _wrk(address, pid, clients, 30, script)
        with urlopen(f"{address}/metrics") as answer:
            text = answer.read().decode()
        answers = re.search(r'(?m)^avatar_requests_total\{status="200"\} (\S+)', text)
        assert answers is not None
        print(
            f"{(time.monotonic() - began) / 60:6.1f} min: {float(answers[1]):9.0f} answers, {_resident(pid)} MiB; "
            f"{found.rate:.0f} a second, p99 {found.p99:.0f} ms",
            flush=True,
        )


def _wrk(address: str, pid: int, clients: int, seconds: int, script: Path | None = None) -> _Found:
    """Load an address; the CPU time is that of the process pid. Any answer but 2xx is an error."""
    command = ["wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--latency"]
    command += ["-s", str(script)] if script else []
    before = _cpu_seconds(pid)
    text = subprocess.run([*command, address], check=True, capture_output=True, text=True).stdout
    used = _cpu_seconds(pid) - before
    if "Non-2xx" in text or re.search("Socket errors: (?!connect 0, read 0, write 0)", text):
        raise SystemExit(text)
    answers = re.search(r"(\d+) requests in", text)
    assert answers is not None
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None
    assert p99 is not None
    milliseconds = float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]]
    return _Found(float(rate[1]), 1e3 * used / int(answers[1]), milliseconds)


@contextmanager
def _hello(workers: int) -> Iterator[tuple[str, int]]:
    """The address of uvicorn's hello-world, and the id of its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", HELLO, str(port), str(workers)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        time.sleep(3)  # until all its processes serve
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _rate_of_library(names: list[str]) -> float:
    """Images per second, drawn and encoded as fast as the library can."""
    generator = AvatarGenerator.load(threads=1)

    def draw(part: list[str]) -> None:
        for name, image in zip(part, generator.generate(part), strict=True):
            encode(image, ".png", Picture((name,)).text(generator))

    began = time.monotonic()
    parts = (names[i : i + CHUNK_SIZE] for i in range(0, len(names), CHUNK_SIZE))
    list(in_order(draw, parts, cpu_limit()))
    return len(names) / (time.monotonic() - began)


@contextmanager
def _running_server(*options: str) -> Iterator[tuple[int, int]]:
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


def _resident(pid: int) -> int:
    """Resident memory of a process and its children in MiB; what they share counts for each."""
    found = (Path(f"/proc/{process}/status").read_text() for process in _family(pid))
    return sum(int(status.split("VmRSS:")[1].split()[0]) for status in found) // 1024


def _cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its children have used."""
    found = (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in _family(pid))
    return sum(int(fields[11]) + int(fields[12]) for fields in found) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


if __name__ == "__main__":
    main()
