"""Structured logs: one line of JSON for each answer, and for whatever else is logged."""

import json
import logging
import time
from typing import Any

ANSWERS = logging.getLogger("avatar_runtime.serve.answers")


def log_answer(fields: dict[str, Any]) -> None:
    """Log an answer: the `on_answer` of `create_app`."""
    ANSWERS.info("answered", extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields of an answer."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
