"""Finds the JavaScript runtime and its demo page."""

from pathlib import Path


def web_sources() -> Path:
    """The folder with src, demo and sw.js of runtime/web: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "web"
