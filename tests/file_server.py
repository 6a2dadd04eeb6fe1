"""A server of this machine that breaks every promise a server makes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FileServer:
    """A server of one file. `script` says how it misbehaves, request by request; after that it is a good one.

    The manners: a status, such as "503"; "cut" and "stall" after half of the file; "short", "long" and "senseless" for
    the length that it states; "unsized" for none; "to ADDRESS" for a redirection.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.data = b""
        self.script: list[str] = []
        self.requests: list[str] = []
        """The manner of each answer."""
        self.paths: list[str] = []
        self.end_of_test = threading.Event()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        manner = self.script.pop(0) if self.script else "good"
        self.requests.append(manner)
        self.paths.append(request.path)
        if manner.isdecimal():
            return request.send_error(int(manner))
        if manner.startswith("to "):
            request.send_response(302)
            request.send_header("Location", manner[3:])
            request.send_header("Content-Length", "0")
            return request.end_headers()
        request.send_response(200)
        length = len(self.data)
        body = self.data[: length // 2] if manner in ("cut", "stall", "cut, unsized") else self.data
        if "unsized" not in manner:
            stated = {"short": length // 2, "long": length * 2, "senseless": "many"}.get(manner, length)
            request.send_header("Content-Length", str(stated))
        request.end_headers()
        request.wfile.write(body)
        if manner == "stall":
            self.end_of_test.wait(20)
        return None


@contextmanager
def serving() -> Iterator[FileServer]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.answer(self)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *arguments: Any) -> None:  # the client hung up: it would be printed
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    here = FileServer(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield here
    finally:
        here.end_of_test.set()
        server.shutdown()
        thread.join()
        server.server_close()
