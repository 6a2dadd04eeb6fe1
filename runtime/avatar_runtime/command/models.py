"""avatar-gen models: lists the models that can be named, and fetches one."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from avatar_runtime.command.base import SETTINGS, Command
from avatar_runtime.command.info import printable
from avatar_runtime.command.progress import ProgressBar, say
from avatar_runtime.errors import AvatarError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ModelType(click.Path):
    """An id or a path."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """The ids that begin so; if there are none, files."""
        from click.shell_completion import CompletionItem

        from avatar_runtime.model_file.registry import known_models

        with suppress(AvatarError):
            if ids := [id for id in known_models() if id.startswith(incomplete)]:
                return [CompletionItem(id) for id in ids]
        return super().shell_complete(ctx, param, incomplete)


class _Group(Command, click.Group):
    """Lists the models when no other command is named."""


@click.group(cls=_Group, invoke_without_command=True, context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that --model can name: size, shape, licence, quality, and where the file is.

    \b
    Examples:
      avatar-gen models
      avatar-gen models fetch anime-faces-128@1
    """
    if ctx.invoked_subcommand is not None:
        return
    for found in listed():
        if as_json:
            click.echo(json.dumps(found))
            continue
        size = found["size"] and f"{found['size'] / 1e6:.2f} MB"
        what = ", ".join(filter(None, (found["shape"], size, found["license"], found["state"])))
        click.echo(f"{found['id']}{' (default)' if found['default'] else ''}: {printable(what)}")
        for key in ("quality", "path"):
            if found[key]:
                click.echo(f"    {printable(found[key])}")


@models.command(cls=Command)
@click.argument("id", metavar="ID", type=ModelType())
def fetch(id: str) -> None:
    """Fetch a model of the registry into the model folder: AVATAR_EDGE_MODELS, or by default among your caches.

    It comes from the registry's address, or from a mirror: AVATAR_EDGE_MODEL_URL/ID.onnx.

    \b
    Example:
      avatar-gen models fetch anime-faces-128@1
    """
    from avatar_runtime.model_file.fetching import fetch_model

    with ProgressBar("fetching", show_pos=False) as bar:
        path = fetch_model(id, on_message=say, on_received=bar.show_bytes)
    click.echo(f"{id} is in {click.format_filename(path)}")


def listed() -> Iterator[dict[str, Any]]:
    """What `avatar-gen models --json` prints of each model, sorted by name and version."""
    from avatar_runtime.errors import ModelFileError
    from avatar_runtime.generator import AvatarGenerator
    from avatar_runtime.model_file import registry

    known = registry.known_models()
    lying = {path.stem for path in registry.model_folder().glob("*.onnx") if registry.is_id(path.stem)}
    for id in sorted(known.keys() | lying, key=registry.id_parts):
        model: dict[str, Any] = {"size": None, "shape": "", "license": "", "quality": "", "url": "", "sha256": ""}
        model |= asdict(known[id]) if id in known else {}
        path = None
        try:
            path = registry.find_model(id).path
            with AvatarGenerator.load(id, threads=1) as generator:
                spec, model["sha256"] = generator.spec, generator.model_sha256
            model["size"], model["license"] = path.stat().st_size, spec.license
            model["shape"] = f"{spec.image_size}x{spec.image_size}x{spec.channels}"
            state = "in the package" if registry.in_package(id) else "in the model folder"
        except ModelFileError as err:
            state = "not on this machine" if path is None else f"cannot be used: {err}"
        default = id == registry.default_model()
        yield {"id": id, "default": default, "state": state, "path": path and str(path), **model}
