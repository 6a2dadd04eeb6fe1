"""What an extra of the package installs may be missing: said in one sentence, with the line that mends it."""

from collections.abc import Iterator
from contextlib import contextmanager

from avatar_runtime.errors import MissingExtraError

_PYTHONS = dict.fromkeys(
    ("train", "prepare", "export", "bench"), ", on Python 3.10 to 3.12, for which MindSpore has wheels"
)


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Turn a failing import of the block into a sentence.

    Args:
        extra: The extra that installs the imported packages, such as "serve".
        what: What needs them, as the sentence calls it.

    Raises:
        MissingExtraError: A package of the block is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as err:
        if (err.name or "").startswith("avatar_"):
            raise  # ours: a bug
        line = f'pip install "avatar-edge[{extra}]"{_PYTHONS.get(extra, "")}'
        raise MissingExtraError(f"{what} needs {err.name}: {line}") from err
