"""Size of the installed environments, the wheel and the model files."""

import io
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.suite.models import OURS, PLAIN, Models
from benchmarks.suite.setting import ROOT, Setting
from benchmarks.suite.tables import Table
from benchmarks.suite.timing import exactly

READ = (
    "An environment holds everything that pip installs for a requirement, counted from the RECORD files of this "
    "environment, without Python and pip. The wheel is the repository's tree, deflated as in a wheel."
)
ENVIRONMENTS = {
    "avatar-edge": ("avatar-edge",),
    "avatar-edge[export]": ("avatar-edge[export]",),
    "avatar-edge[train]": ("avatar-edge[train]",),
    "OpenVINO, Pillow": ("openvino", "pillow"),
    "PyTorch, Pillow": ("torch", "pillow"),
    "MindSpore, Pillow": ("mindspore", "pillow"),
}
"""Ours, and what a program needs that draws a PNG with a baseline."""
MB = 1e6


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Count bytes of environments, of the wheel and of each model file."""
    models = make_models()
    environments, skipped = {}, {}
    for name, requirements in ENVIRONMENTS.items():
        say(name)
        found, missing = closure(requirements)
        if missing:
            skipped[name] = f"{', '.join(sorted(missing))} not installed here, so its size is unknown"
        else:
            environments[name] = sum(map(installed, found)) + (tree() if "avatar-edge" in found else 0)
    packed = wheel()
    sizes = {name: models.sizes[name] for name in ("checkpoint", PLAIN, *OURS) if name in models.sizes}
    ratios = {f"{name}, of the checkpoint": sizes[name] / sizes["checkpoint"] for name in OURS if name in sizes}
    if "MindSpore, Pillow" in environments:
        for name in ("avatar-edge", "avatar-edge[export]", "avatar-edge[train]"):
            if name in environments:
                ratios[f"{name}, of MindSpore's environment"] = environments[name] / environments["MindSpore, Pillow"]
    return {
        "skipped": skipped,
        "failed": models.failed,
        "environments": environments,
        "wheel": packed,
        "models": sizes,
        "ratios": {name: exactly(value).to_dict() for name, value in ratios.items()},
    }


def closure(requirements: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Follow requirements on this Python: the installed distributions they lead to, and those missing here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[tuple[str, str]] = set()
    missing: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                missing.add(name)
                continue
            for following in map(Requirement, needed):
                marker = following.marker
                own = marker is None or (extra == "" and marker.evaluate({"extra": ""}))
                if own or (marker is not None and extra and marker.evaluate({"extra": extra})):
                    todo.append(following)
    return {name for name, _ in found} - missing, missing


def installed(name: str) -> int:
    """Bytes of an installed distribution's files."""
    files = [Path(str(file.locate())) for file in metadata.files(name) or []]
    return sum(path.stat().st_size for path in set(files) if path.is_file())


def packaged() -> dict[str, Path]:
    """The files of this repository that go into a wheel: path in the wheel -> file."""
    folders = {folder.name: folder for folder in sorted(ROOT.glob("*/avatar_*"))}
    web = ROOT / "runtime" / "web"
    folders |= {"avatar_runtime/web/src": web / "src", "avatar_runtime/web/demo": web / "demo"}
    single = (web / "index.html", web / "sw.js", ROOT / "runtime/native/avatar.wasm")
    files = {f"avatar_runtime/web/{path.name}": path for path in single}
    for place, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{place}/{path.relative_to(folder)}"] = path
    return files


def tree() -> int:
    """Bytes of our own files where the installation is editable: its RECORD does not list them."""
    editable = all("avatar_runtime/" not in str(file) for file in metadata.files("avatar-edge") or [])
    return sum(path.stat().st_size for path in packaged().values()) if editable else 0


def wheel() -> int:
    """Bytes of the same files, deflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in packaged().items():
            archive.write(path, name)
    return len(buffer.getvalue())


def tables(part: dict[str, Any]) -> list[Table]:
    """Environments and files."""
    least = min(part["environments"].values(), default=1)
    environments = [[name, f"{size / MB:,.0f}", f"{size / least:.1f}"] for name, size in part["environments"].items()]
    checkpoint = part["models"]["checkpoint"]
    files = [[name, f"{size / MB:.2f}", f"{size / checkpoint:.2f}"] for name, size in part["models"].items()]
    files.append(["the wheel", f"{part['wheel'] / MB:.2f}", f"{part['wheel'] / checkpoint:.2f}"])
    return [
        Table("Installed environments", ["", "MB", "of the least"], environments),
        Table("Files", ["", "MB", "of the checkpoint"], files),
    ]


def headline(part: dict[str, Any]) -> str:
    """Size of each environment."""
    sizes = [f"{size / MB:,.0f} MB for {name}" for name, size in part["environments"].items()]
    return f"Installed: {', '.join(sizes)}."
