"""The fenced code blocks of the documents: what language each is in, and why one is not run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "runtime/native/README.md",
    ROOT / "runtime/web/README.md",
    ROOT / "runtime/web/model/README.md",
    ROOT / "runtime/avatar_runtime/models/MODEL_CARD.md",
]
"""All documents; each is also a page of the site."""

_BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n\n?)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    number: int
    language: str
    code: str
    reason: str
    """Why it is not run; "" if it is. The document says so in a comment above the block: <!-- not run: reason -->"""

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}-{self.number}"


def blocks(document: Path) -> list[Block]:
    """All blocks of a document, in order."""
    found = _BLOCK.findall(document.read_text(encoding="utf-8"))
    return [Block(document, i, language, code, reason) for i, (reason, language, code) in enumerate(found, 1)]


def to_run(*languages: str) -> list[Block]:
    """The blocks of all documents in these languages that a test has to run."""
    return [b for document in DOCUMENTS for b in blocks(document) if b.language in languages and not b.reason]


def parameters(found: list[Block]) -> list[Any]:
    """The blocks as parameters of a test."""
    return [pytest.param(block, id=str(block)) for block in found]
