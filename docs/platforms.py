"""Print the table of docs/packaging.md: for which Pythons and platforms pip finds wheels of all that the runtime needs.

`python docs/platforms.py` asks the package index as `pip download --platform` does, and keeps nothing.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def linux(libc: str, versions: tuple[str, ...], machine: str) -> list[str]:
    """The tags of Linux wheels for a C library up to some version."""
    return [f"{libc}_{version}_{machine}" for version in versions]


def macos(machine: str, *old: str) -> list[str]:
    """The tags of wheels for macOS 14 and before."""
    return [f"macosx_{version}_{machine}" for version in ("14_0", "13_4", "13_3", "13_0", "12_0", "11_0", *old)]


GLIBC, MUSL = ("2_28", "2_27", "2_26", "2_24", "2_17"), ("1_2", "1_1")
PLATFORMS = {
    "Linux, glibc 2.28, x86-64": linux("manylinux", GLIBC, "x86_64"),
    "Linux, glibc 2.28, ARM64": linux("manylinux", GLIBC, "aarch64"),
    "Linux, musl 1.2, x86-64": linux("musllinux", MUSL, "x86_64"),
    "Linux, musl 1.2, ARM64": linux("musllinux", MUSL, "aarch64"),
    "macOS 14, ARM64": macos("arm64"),
    "macOS 14, x86-64": macos("x86_64", "10_15", "10_13", "10_12", "10_9"),
    "Windows, x86-64": ["win_amd64"],
    "Windows, ARM64": ["win_arm64"],
}


def resolved(requirements: list[str], python: str, tags: list[str]) -> str:
    """The version of onnxruntime that pip would install, or what has no wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--target", folder]
        command += ["--only-binary=:all:", "--python-version", python, *(f"--platform={tag}" for tag in tags)]
        done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        missing = re.search(r"No matching distribution found for ([\w-]+)", done.stderr)
        if missing is None:
            sys.exit(done.stderr)
        return f"no {missing[1]}"
    found = {item["metadata"]["name"]: item["metadata"]["version"] for item in json.loads(done.stdout)["install"]}
    return str(found["onnxruntime"])


def main() -> None:
    """Print the table."""
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    (line,) = re.findall(r"^dependencies = (\[.*\])$", text, re.MULTILINE)
    requirements = json.loads(line)
    print(f"| | {' | '.join(PYTHONS)} |\n|---{'|---' * len(PYTHONS)}|")
    for name, tags in PLATFORMS.items():
        print(f"| {name} | {' | '.join(resolved(requirements, python, tags) for python in PYTHONS)} |", flush=True)


if __name__ == "__main__":
    main()
