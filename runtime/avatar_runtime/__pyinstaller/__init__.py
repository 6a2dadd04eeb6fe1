"""PyInstaller finds this folder by the entry point `pyinstaller40`: no option is needed to bundle avatar_runtime."""

from pathlib import Path


def hook_dirs() -> list[str]:
    """The folders of our hooks."""
    return [str(Path(__file__).parent)]
