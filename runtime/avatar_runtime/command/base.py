"""What the four commands have in common: help in groups, a project's defaults, errors in sentences, exit statuses."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from avatar_runtime import __version__
from avatar_runtime.command.process import cause
from avatar_runtime.command.project import FILE, read_defaults
from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.extras import needs

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}

version_option = click.version_option(__version__)
"""Not asked of the installed package: a zip or a bundle of PyInstaller has none."""


class Option(click.Option):
    """An option in a group of this title, which help shows together. If configurable, avatar-edge.toml may set it."""

    def __init__(self, *arguments: Any, group: str, configurable: bool, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group
        self.configurable = configurable

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click writes in brackets, but for ranges of whole numbers: few people ask for 0 avatars."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.type, click.IntRange):
            extra.pop("range", None)
        return extra


def group(title: str, *, configurable: bool = False) -> Callable[..., Callable[[Any], Any]]:
    """Like click.option, for the options of one group."""
    return partial(click.option, cls=Option, group=title, configurable=configurable)


class Command(click.Command):
    """A command whose callback may raise AvatarError: exit status 2 for unusable options, 1 for everything else.

    Args:
        extra: The extra of the package that installs what the callback imports.
        table: The table of avatar-edge.toml that holds a project's defaults.
        arguments, settings: As click.Command's.
    """

    def __init__(self, *arguments: Any, extra: str | None = None, table: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.extra = extra
        self.table = table

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line, over the project's defaults."""
        defaults: dict[str, Any] = {}
        if self.table is not None and not extra.get("resilient_parsing"):  # completion does not need them
            options = [param for param in self.params if getattr(param, "configurable", False)]
            defaults = read_defaults(self, self.table, options)
            extra["default_map"] = defaults
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as err:
            name = err.param.name if err.param else None
            if name in defaults and err.ctx and err.ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
                raise click.BadParameter(f"{err.message} ({FILE} sets it)", err.ctx, err.param) from err
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse an option that took the next option for its value: click lets it."""
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:  # completion: the line is not finished
            return rest
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        known = {spelling for option in options for spelling in (*option.opts, *option.secondary_opts)}
        for option in options:
            value = ctx.params.get(str(option.name))
            taken = known.intersection(map(str, value if isinstance(value, (tuple, list)) else (value,)))
            if taken and ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{option.opts[0]} needs a value, and {taken.pop()} follows it", ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options group by group, and the commands of a group of commands."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and record[1]:  # an argument says nothing
                groups.setdefault(getattr(param, "group", ""), []).append(record)
        last = "Other" if len(groups) > 1 else "Options"
        for title, records in [*((title, groups[title]) for title in groups if title), (last, groups.get("", []))]:
            with formatter.section(title):
                formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the callback, and put what it raises into one sentence."""
        try:
            with needs(self.extra, ctx.command_path) if self.extra else nullcontext():
                return super().invoke(ctx)
        except InputError as err:
            raise click.UsageError(str(err), ctx=ctx) from err
        except AvatarError as err:
            raise click.ClickException(str(err)) from err
        except KeyboardInterrupt:
            click.echo("Interrupted: what is written is whole.", err=True)
            raise click.exceptions.Exit(130) from None  # 128 + SIGINT, as a shell says it
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except Exception as err:
            if (sentence := cause(err)) is None:
                raise
            raise click.ClickException(sentence) from err
