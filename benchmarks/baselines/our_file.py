"""A file of avatar-export in the runtime's own session."""

from functools import partial

from benchmarks.suite.models import Models
from benchmarks.suite.process import Network


def open_network(models: Models, threads: int, file: str) -> Network:
    """Open it with all checks of the runtime."""
    from avatar_runtime.session import open_session, run

    return partial(run, open_session(models.folder / file, threads=threads))
