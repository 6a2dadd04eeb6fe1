"""A folder of model files for one kind of device, with a manifest: written whole or not at all."""

import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatar_export.exporter import DEFAULTS, Export, Options, export_variant, id_of
from avatar_export.source.original import Original, open_original
from avatar_export.validation.mobile_usability import PROVIDERS, check_usability
from avatar_export.validation.parity import Network
from avatar_export.validation.speed import BATCH_SIZES, latency
from avatar_export.variants import TARGETS
from avatar_runtime.errors import InputError, OutputError
from avatar_runtime.output.atomic import make_folder
from avatar_runtime.session import open_session, run

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Target:
    """A finished folder."""

    folder: Path
    exports: tuple[Export, ...]
    manifest: dict[str, Any]
    """The content of manifest.json."""


def export_target(checkpoint_path: Path, target: str, folder: Path, options: Options = DEFAULTS) -> Target:
    """Export and validate every file of a target, and put them into a folder with manifest.json.

    The manifest has each file's size, SHA-256, main metadata, parity, and latency on this machine, with MindSpore's.

    Args:
        checkpoint_path: A run folder, a .ckpt or a .safetensors file.
        target: One of TARGETS.
        folder: A folder of an earlier export is replaced; one with any other file in it is refused.
        options: As for a single file. The models' names end with their files', as in "faces-int8".

    Raises:
        InputError, ParityError and so on: as `export_model`. The folder is then as it was before.
    """
    if target not in TARGETS:
        raise InputError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    check_replaceable(folder)
    if options.report is not None and options.report.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} is for the files to ship; put the report elsewhere")
    name, version = id_of(folder.resolve().name)
    name, version = options.name or name[:100], version if options.version is None else options.version
    original = open_original(checkpoint_path, options.pixel_range, options.prefix)
    with replacing_folder(folder) as temporary:
        exports = []
        for file, variant in TARGETS[target].items():
            of_file = replace(options, name=f"{name}-{Path(file).stem}", version=version)
            export = export_variant(original, variant, temporary / file, of_file)
            exports.append(export)
            if variant.accelerator:
                check_usability(temporary / file)
        manifest = _manifest(target, temporary, original, exports)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Target(folder, tuple(replace(export, path=folder / export.path.name) for export in exports), manifest)


def _manifest(target: str, folder: Path, original: Original, exports: list[Export]) -> dict[str, Any]:
    networks: dict[str, Network] = {export.path.name: partial(run, open_session(export.path)) for export in exports}
    networks["MindSpore"] = original.network
    times = {size: latency(networks, original.weights.latent_dim, size) for size in BATCH_SIZES}

    def latency_ms(name: str) -> dict[str, float]:
        return {str(size): times[size][name] for size in BATCH_SIZES}

    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for export in exports:
        name, metadata = export.path.name, export.metadata
        files[name] |= {
            "id": metadata.id,
            "precision": metadata.precision,
            "output": metadata.output,
            "batch": metadata.batch,
            "passes": list(metadata.passes),
            "parity": metadata.parity,
            "latency_ms": latency_ms(name),
        }
        if TARGETS[target][name].accelerator:
            files[name]["every_node_supported_by"] = list(PROVIDERS)
    return {
        "target": target,
        "checkpoint_sha256": original.weights.sha256,
        "machine": f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}",
        "mindspore_latency_ms": latency_ms("MindSpore"),
        "files": files,
    }


def check_replaceable(folder: Path) -> None:
    """Raise InputError unless folder is absent, empty, or has only the files that its manifest lists."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    found = {path.name for path in folder.iterdir()}
    try:
        listed = {MANIFEST, *json.loads((folder / MANIFEST).read_bytes())["files"]} if found else set()
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        listed = set()
    if strange := found - listed:
        raise InputError(f"{folder} has the file {min(strange)}, which no export put there; name another folder")


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder, which replaces folder if the block succeeds.

    If the block fails, the temporary folder is removed and folder is as it was. If folder is a symbolic link, the
    folder it points to is replaced and the link stays. An OSError becomes an OutputError.
    """
    folder = Path(os.path.realpath(folder))
    make_folder(folder.parent)
    temporary, old = (folder.with_name(f".{folder.name[:40]}.{secrets.token_hex(4)}.{end}") for end in ("tmp", "old"))
    try:
        temporary.mkdir()
        yield temporary
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as err:
        if old.exists():
            old.rename(folder)
        raise OutputError(f"cannot write {folder}: {err.strerror or err}") from err
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
