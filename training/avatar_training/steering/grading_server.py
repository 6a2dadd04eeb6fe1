"""Serves the grading page to one grader, on this machine only."""

import io
import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import to_pil
from avatar_training.steering.grades import GRADES
from avatar_training.steering.grading import SHEET, Grading

HOST = "127.0.0.1"

_PAGE = Path(__file__).with_name("grading_page.html")
_MAX_BODY = 1000
_POLICY = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class GradingServer(ThreadingHTTPServer):
    """Serves the page at `url` until `shutdown`.

    It listens on the loopback address only, answers only requests addressed to it by that name (so that no web page can
    reach it under another), and takes answers only as JSON, which a browser does not let other pages send.

    Raises OSError if the port is taken; port 0 is any free one.
    """

    daemon_threads = True

    def __init__(self, grading: Grading, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.grading, self.lock = grading, Lock()
        self.url = f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a page that was closed while it loaded; show anything else, which is a bug."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: GradingServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, its state, or a face."""
        if not self._addressed_here():
            return
        grading = self.server.grading
        if self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.read_bytes())
        elif self.path == "/state":
            with self.server.lock:
                grades = dict(grading.grades)
            state = {"grader": grading.grader, "total": len(grading), "sheet": SHEET, "grades": grades, "words": GRADES}
            self._json(HTTPStatus.OK, state)
        elif self.path.startswith("/face/") and self.path.removeprefix("/face/").isdecimal():
            try:
                picture = grading.picture(int(self.path.removeprefix("/face/")[:9]))
            except AvatarError as err:
                self._json(HTTPStatus.NOT_FOUND, {"error": str(err)})
                return
            buffer = io.BytesIO()
            to_pil(picture).save(buffer, "PNG")
            self._answer(HTTPStatus.OK, "image/png", buffer.getvalue())
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        """Give an answer, or withdraw the newest."""
        if not self._addressed_here():
            return
        if self.headers.get_content_type() != "application/json":
            self._json(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": "answers come as application/json"})
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
            body = json.loads(self.rfile.read(length)) if 0 <= length <= _MAX_BODY else None
            with self.server.lock:
                answer = self._change(body)
        except (ValueError, TypeError, KeyError, RecursionError):
            self.close_connection = True  # some of the body may be unread
            self._json(HTTPStatus.BAD_REQUEST, {"error": "not an answer"})
        except AvatarError as err:
            self._json(HTTPStatus.BAD_REQUEST, {"error": str(err)})
        else:
            self._json(HTTPStatus.OK, answer)

    def _change(self, body: Any) -> dict[str, Any]:
        if self.path == "/undo":
            return {"place": self.server.grading.undo()}
        place, grade = body["place"], body["grade"]
        if self.path != "/grade" or type(place) is not int or type(grade) is not int:
            raise ValueError
        self.server.grading.grade(place, grade)
        return {}

    def _addressed_here(self) -> bool:
        port = self.server.server_address[1]
        if self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}"):
            return True
        self.close_connection = True
        self._json(HTTPStatus.FORBIDDEN, {"error": f"this page is at {self.server.url} only"})
        return False

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the page shows what happens."""
