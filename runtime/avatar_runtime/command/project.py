"""The file avatar-edge.toml: a project's own defaults for options of the four commands."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

FILE = Path("avatar-edge.toml")
"""In the current folder alone: what a command does must not depend on folders that one does not see."""
TABLES = ("gen", "serve", "export", "train")


def read_defaults(command: click.Command, table: str, configurable: Iterable[click.Parameter]) -> dict[str, Any]:
    """The values in the file's table for a command: parameter name -> value, not yet converted.

    Raises click.UsageError if the file cannot be read, or sets what no option of configurable is called.
    """
    if not FILE.exists():
        return {}
    content = _read()
    for name, value in content.items():
        if name not in TABLES or not isinstance(value, dict):
            raise click.UsageError(f"{FILE}: {name!r} is not one of its tables; use [{'], ['.join(TABLES)}]")
    options = {opt.removeprefix("--"): param for param in configurable for opt in param.opts if opt.startswith("--")}
    others = {opt.removeprefix("--") for param in command.params for opt in param.opts if opt.startswith("--")}
    found: dict[str, Any] = {}
    for key, value in content.get(table, {}).items():
        name = key.replace("_", "-")
        if name not in options:
            import difflib

            near = difflib.get_close_matches(name, options, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it may set {', '.join(sorted(options))}"
            what = "cannot set the option" if name in others else "has no option"
            raise click.UsageError(f"{FILE}: [{table}] {what} {key!r}{hint}")
        found[options[name].name or name] = _typed(options[name], value)
    return found


def _typed(param: click.Parameter, value: Any) -> Any:
    """The value as a command line would say it, so that a wrong one is refused in the same words."""
    if isinstance(value, bool) and getattr(param, "is_flag", False):
        return value
    if not getattr(param, "multiple", False):
        return str(value)
    items = value if isinstance(value, list) else [value]
    return [[str(part) for part in item] if isinstance(item, list) else str(item) for item in items]


def _read() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ModuleNotFoundError as err:
            raise click.UsageError(f"to read {FILE}, Python 3.10 needs: pip install tomli") from err
    try:
        return tomllib.loads(FILE.read_text("utf-8"))
    except OSError as err:
        raise click.UsageError(f"{FILE}: cannot read it: {err.strerror or err}") from err
    except (ValueError, RecursionError) as err:
        raise click.UsageError(f"{FILE}: it is not TOML: {err}") from err
