"""A folder of model files for one kind of device, with a manifest: whole or not at all."""

import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatar_export.exporter import NO_LIMITS, Export, export_variant
from avatar_export.source.original import open_original
from avatar_export.validation.mobile_usability import PROVIDERS, check_usability
from avatar_export.validation.parity import Network
from avatar_export.validation.speed import latency
from avatar_export.variants import TARGETS
from avatar_runtime.errors import InputError, OutputError
from avatar_runtime.output.atomic import make_folder
from avatar_runtime.session import open_session, run

MANIFEST = "manifest.json"
BATCHES = (1, 64)
"""How many images at once the latency in the manifest is of."""


@dataclass(frozen=True)
class Target:
    """A finished folder."""

    folder: Path
    exports: tuple[Export, ...]
    manifest: dict[str, Any]
    """What manifest.json says."""


def export_target(
    checkpoint: Path,
    target: str,
    folder: Path,
    *,
    limits: Mapping[str, float] = NO_LIMITS,
    pixel_range: str | None = None,
    name: str | None = None,
    license: str = "",
    provenance: str | None = None,
    report: Path | None = None,
) -> Target:
    """Make every file of a target (one of TARGETS), prove each, and put them into a folder with manifest.json.

    The manifest has each file's size, SHA-256, contract in short, parity, and latency beside MindSpore on this machine.
    A folder that is there is replaced if an earlier export made it; one of anything else is refused. The other
    arguments are as in `export_model`; report gets a page for each model. Raises what `export_model` does; then the
    folder is as it was.
    """
    if target not in TARGETS:
        raise InputError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    check_replaceable(folder)
    if report is not None and report.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} is for what is shipped; put the report elsewhere")
    original = open_original(checkpoint, pixel_range)
    with replacing_folder(folder) as temporary:
        exports = []
        for file, variant in TARGETS[target].items():
            exports.append(
                export_variant(
                    original,
                    variant,
                    temporary / file,
                    limits=limits,
                    name=name or folder.resolve().name,
                    license=license,
                    provenance=provenance,
                    report=report,
                )
            )
            if variant.accelerator:
                check_usability(temporary / file)
        networks: dict[str, Network] = {e.path.name: partial(run, open_session(e.path)) for e in exports}
        networks["MindSpore"] = original.network
        times = {batch: latency(networks, original.weights.latent_dim, batch) for batch in BATCHES}
        manifest: dict[str, Any] = {
            "target": target,
            "checkpoint_sha256": original.weights.sha256,
            "machine": f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}",
            "mindspore_latency_ms": {str(batch): times[batch]["MindSpore"] for batch in BATCHES},
            "files": {path.name: _file(path) for path in sorted(temporary.iterdir())},
        }
        for export in exports:
            spec = export.spec
            manifest["files"][export.path.name] |= {
                "precision": spec.precision,
                "output": spec.output,
                "batch": spec.batch,
                "passes": list(spec.passes),
                "parity": spec.parity,
                "latency_ms": {str(batch): times[batch][export.path.name] for batch in BATCHES},
            }
            if TARGETS[target][export.path.name].accelerator:
                manifest["files"][export.path.name]["every_node_supported_by"] = list(PROVIDERS)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Target(folder, tuple(replace(export, path=folder / export.path.name) for export in exports), manifest)


def _file(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def check_replaceable(folder: Path) -> None:
    """Raise InputError unless folder is absent, empty, or holds what its manifest lists and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    found = {path.name for path in folder.iterdir()}
    try:
        listed = {MANIFEST, *json.loads((folder / MANIFEST).read_bytes())["files"]} if found else set()
    except (OSError, ValueError, LookupError, TypeError):
        listed = set()
    if strange := found - listed:
        raise InputError(f"{folder} holds {min(strange)}, which no export has put there; name another folder")


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside folder and put it in folder's place if the block succeeds.

    If the block fails it is removed and folder is as it was. An OSError becomes an OutputError.
    """
    folder = folder.absolute()
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
