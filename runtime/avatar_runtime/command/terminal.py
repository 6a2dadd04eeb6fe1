"""What the four commands have in common: their errors are sentences, and their exit statuses say which kind."""

from contextlib import nullcontext
from typing import Any

import click

from avatar_runtime import __version__
from avatar_runtime.command.process import cause
from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.extras import needs

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}

version_option = click.version_option(__version__)
"""Not asked of the installed package: a zip or a bundle of PyInstaller has none."""


class Command(click.Command):
    """A command whose callback may raise AvatarError: exit status 2 for unusable options, 1 for everything else.

    extra names the extra of the package that installs what the callback imports.
    """

    def __init__(self, *arguments: Any, extra: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.extra = extra

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
