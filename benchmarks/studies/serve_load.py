"""avatar-serve under wrk, beside uvicorn's hello-world: `python -m benchmarks.studies.serve_load [--soak MINUTES]`

wrk (https://github.com/wg/wrk) loads three things in turn over 64 connections, on the same machine: an application of
uvicorn that answers "Hello, world!", which is the ceiling; one avatar again and again, from the cache; and a new name
each time. Between them the library draws and encodes as fast as it can. Ratios compare what ran in the same round; the
server's CPU time for an answer depends least on what else the machine does.
--soak asks for new names as long as is said, and prints the server's memory.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import click
import numpy as np

from avatar_runtime.latents import series
from benchmarks.studies.serve import best_of_library, cpu_seconds, resident, running_server

HELLO = """
async def app(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})

import uvicorn
uvicorn.run(app, port=PORT, http="httptools", lifespan="off", log_level="error", access_log=False)
"""
NEW_NAMES = """
count = 0
thread = string.match(tostring({}), "0x%x+")
request = function()
  count = count + 1
  return wrk.format("GET", "/" .. thread .. "-" .. count .. ".png")
end
"""


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(min=1))
@click.option("--seconds", default=5, type=click.IntRange(min=1), help="Of each measurement.")
@click.option("--clients", default=64, type=click.IntRange(min=1))
@click.option("--soak", type=float, metavar="MINUTES", help="Instead, ask for new names so long.")
def main(rounds: int, seconds: int, clients: int, soak: float | None) -> None:
    """Load avatar-serve by wrk."""
    with tempfile.TemporaryDirectory() as folder, running_server() as (port, pid):
        script = Path(folder) / "names.lua"
        script.write_text(NEW_NAMES)
        address = f"http://127.0.0.1:{port}"
        if soak is not None:
            _soak(address, pid, script, clients, soak)
            return
        found: dict[str, list[tuple[float, float, float]]] = {"hello": [], "cached": [], "drawn": []}
        library: list[float] = []
        with _hello() as (hello, hello_pid):
            for i in range(rounds):
                found["hello"].append(_wrk(hello, hello_pid, clients, seconds))
                found["cached"].append(_wrk(f"{address}/v1/anime-faces-64/alice.png", pid, clients, seconds))
                library.append(best_of_library(list(series(f"round {i}", 1000)))[1])
                found["drawn"].append(_wrk(address, pid, clients, seconds, script))
    hello_rates = [rate for rate, *_ in found["hello"]]
    for name, ceiling, what in (
        ("hello", hello_rates, "itself"),
        ("cached", hello_rates, "hello-world"),
        ("drawn", library, "the library's drawing and encoding"),
    ):
        rates = [rate for rate, *_ in found[name]]
        ratios = [rate / most for rate, most in zip(rates, ceiling, strict=True)]
        print(
            f"{name}: {np.median(rates):.0f} answers/s, {np.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}) of {what}, p99 {np.median([p99 for _, p99, _ in found[name]]):.1f} ms, "
            f"CPU {np.median([cpu for *_, cpu in found[name]]):.3f} ms an answer"
        )
    print(f"the library: {np.median(library):.0f} images/s; {clients} clients, {rounds} rounds of {seconds} s")


def _soak(address: str, pid: int, script: Path, clients: int, minutes: float) -> None:
    """Print the memory every half minute."""
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        rate, p99, _ = _wrk(address, pid, clients, 30, script)
        with urlopen(f"{address}/metrics") as answer:
            text = answer.read().decode()
        answers = re.search(r'(?m)^avatar_requests_total\{status="200"\} (\S+)', text)
        assert answers is not None
        print(
            f"{float(answers[1]):9.0f} answers, {resident(pid)} MiB; {rate:.0f} a second, p99 {p99:.0f} ms", flush=True
        )


def _wrk(address: str, pid: int, clients: int, seconds: int, script: Path | None = None) -> tuple[float, float, float]:
    """Answers a second, the 99th percentile of the latency in ms, and ms of the server's CPU time for an answer.

    Any answer but 2xx is an error.
    """
    command = ["wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--latency"]
    command += ["-s", str(script)] if script else []
    before = cpu_seconds(pid)
    text = subprocess.run([*command, address], check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before
    if "Non-2xx" in text or re.search("Socket errors: (?!connect 0, read 0, write 0)", text):
        raise SystemExit(text)
    answers = re.search(r"(\d+) requests in", text)
    assert answers is not None
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None
    assert p99 is not None
    return float(rate[1]), float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]], 1e3 * used / int(answers[1])


@contextmanager
def _hello() -> Iterator[tuple[str, int]]:
    """The address of uvicorn's hello-world, and the id of its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", HELLO.replace("PORT", str(port))])
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
