"""onnxruntime 1.32 collects telemetry: importing it writes a device id and a database of events into the home folder.

Drawing an avatar is nobody's business; who sets the variable ORT_DISABLE_TELEMETRY decides otherwise.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "ORT_DISABLE_TELEMETRY"


@contextmanager
def telemetry_off() -> Iterator[None]:
    """A block in which onnxruntime can be imported without it."""
    is_decided = _VARIABLE in os.environ
    os.environ.setdefault(_VARIABLE, "1")
    try:
        yield
    finally:
        if not is_decided:
            del os.environ[_VARIABLE]
