"""avatar-serve as a process, and questions to it."""

import http.client
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def program() -> str:
    found = shutil.which("avatar-serve", path=sysconfig.get_path("scripts"))
    assert found is not None
    return found


@contextmanager
def running(
    *options: str,
    command: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
    handles: Iterable[int] = (),
    folder: Path | None = None,
) -> Iterator["subprocess.Popen[str]"]:
    """avatar-serve, which is stopped in the end."""
    process = subprocess.Popen(
        command or [program(), *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        pass_fds=tuple(handles),
        cwd=folder,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def port_of(server: "subprocess.Popen[str]") -> int:
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("it did not start")


def ask(port: int, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to GET, and what it holds; in the names of headers a - is written _."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    answer, content = ask(port, path)
    return answer.status, content


def metric(port: int, name: str) -> float:
    found = re.search(rf"(?m)^{re.escape(name)} (.*)$", get(port, "/metrics")[1].decode())
    return float(found[1]) if found else 0.0


def children(pid: int) -> list[int]:
    """The processes that a process has started, in the order of their ids."""
    return sorted(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
