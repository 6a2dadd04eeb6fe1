"""Firefox and WebKitGTK, which has Safari's engine: as much of Playwright's Page, which drives Chromium, as tests need.

Firefox is driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/) over a WebSocket (RFC 6455), WebKitGTK's
MiniBrowser by WebDriver (https://www.w3.org/TR/webdriver2/) over HTTP.
"""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

everywhere = pytest.mark.parametrize("engine", ["chromium", "firefox", "webkitgtk"], indirect=True)
"""A test of a page, in each of these that is installed."""

EVALUATE = """async (argument) => {
  const value = (%s);
  return JSON.stringify([await (typeof value === "function" ? value(argument) : value)]);
}"""


class EnginePage:
    """A browser's only page."""

    def __init__(self, goto: Callable[[str], None], call: Callable[[str, Any], str], complaints: list[str]) -> None:
        self.goto = goto
        self.call = call
        self.complaints = complaints

    def evaluate(self, script: str, argument: Any = None) -> Any:
        return json.loads(self.call(EVALUATE % script, argument))[0]

    def fill(self, selector: str, text: str) -> None:
        self.evaluate(
            """([selector, text]) => {
              const field = document.querySelector(selector);
              field.value = text;
              field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            }""",
            [selector, text],
        )


NewPage = Callable[[], contextlib.AbstractContextManager[EnginePage]]


@contextlib.contextmanager
def firefox(profile: Path) -> Iterator[NewPage]:
    """Pages that know nothing of each other, from one Firefox with an empty folder for its profile."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("needs Firefox, for example from Debian's package firefox-esr")
    (profile / "user.js").write_text('user_pref("browser.chrome.site_icons", false);')  # or it asks for /favicon.ico
    with _running([program, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", profile]):
        port = _soon(lambda: json.loads((profile / "WebDriverBiDiServer.json").read_text())["ws_port"])
        with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
            complaints: list[str] = []
            send = _bidi(port, stream, complaints)
            send("session.new", {"capabilities": {}})
            send("session.subscribe", {"events": ["log.entryAdded"]})

            @contextlib.contextmanager
            def new_page() -> Iterator[EnginePage]:
                user = send("browser.createUserContext", {})
                context = send("browsingContext.create", {"type": "tab", **user})

                def goto(url: str) -> None:
                    send("browsingContext.navigate", {**context, "url": url, "wait": "complete"})

                def call(function: str, argument: Any) -> str:
                    text = {"type": "string", "value": json.dumps(argument)}
                    wanted = {"functionDeclaration": f"(text) => ({function})(JSON.parse(text))", "arguments": [text]}
                    answer = send("script.callFunction", {**wanted, "awaitPromise": True, "target": context})
                    assert answer["type"] == "success", answer["exceptionDetails"]["text"]
                    return str(answer["result"]["value"])

                complaints.clear()
                yield EnginePage(goto, call, complaints)
                send("browser.removeUserContext", user)

            yield new_page


def _bidi(port: int, stream: Any, complaints: list[str]) -> Callable[[str, dict[str, Any]], Any]:
    """send(method, parameters) over a new WebSocket; what the console says of errors goes to complaints."""
    stream.write(f"GET /session HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode())
    stream.write(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
    stream.write(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    stream.flush()
    while stream.readline().strip():
        pass  # the answer's headers

    numbers = itertools.count()

    def receive() -> Any:
        text, last = b"", 0
        while not last:
            first, length = stream.read(2)
            if length > 125:
                length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
            last, text = first & 0x80, text + stream.read(length)
        return json.loads(text)

    def send(method: str, parameters: dict[str, Any]) -> Any:
        number = next(numbers)
        text = json.dumps({"id": number, "method": method, "params": parameters}).encode()
        size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        stream.write(b"\x81" + size + b"\1\1\1\1" + bytes(byte ^ 1 for byte in text))  # a mask of zeros is refused
        stream.flush()
        while (answer := receive()).get("id") != number:  # an event, or what a test no longer waits for
            if answer.get("params", {}).get("level") == "error":
                complaints.append(answer["params"]["text"])
        assert answer["type"] == "success", answer["message"]
        return answer["result"]

    return send


@contextlib.contextmanager
def webkitgtk() -> Iterator[NewPage]:
    """Pages of MiniBrowser, on a screen of their own; WebDriver does not tell of the console."""
    if not (shutil.which("WebKitWebDriver") and shutil.which("Xvfb")):
        pytest.skip("needs WebKitWebDriver and Xvfb, for example from Debian's packages webkit2gtk-driver and xvfb")
    with _running(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1000x24"], stdout=subprocess.PIPE) as screen:
        display = f":{screen.stdout.readline().decode().strip()}" if screen.stdout else ""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with _running(["WebKitWebDriver", f"--port={port}"], env={**os.environ, "DISPLAY": display}):

            def send(method: str, path: str, parameters: dict[str, Any] | None = None) -> Any:
                data = None if parameters is None else json.dumps(parameters).encode()
                request = urllib.request.Request(f"http://127.0.0.1:{port}/session{path}", data, method=method)
                with urllib.request.urlopen(request) as answer:
                    return json.load(answer)["value"]

            @contextlib.contextmanager
            def new_page() -> Iterator[EnginePage]:
                session = f"/{_soon(lambda: send('POST', '', {'capabilities': {}}))['sessionId']}"
                send("POST", f"{session}/timeouts", {"script": 600_000})

                def goto(url: str) -> None:
                    send("POST", f"{session}/url", {"url": url})

                def call(function: str, argument: Any) -> str:
                    script = f"""({function})(arguments[0]).then((value) => arguments[1]([value]),
                      (error) => arguments[1]([null, String(error)]));"""
                    answer = send("POST", f"{session}/execute/async", {"script": script, "args": [argument]})
                    value, *error = answer
                    assert not error, error[0]
                    return str(value)

                yield EnginePage(goto, call, [])
                send("DELETE", session)

            yield new_page


@contextlib.contextmanager
def _running(words: list[Any], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    options.setdefault("stdout", subprocess.DEVNULL)
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


def _soon(ask: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (OSError, ValueError):
            assert time.monotonic() < end
            time.sleep(0.05)
