"""results.json: all measurements of one setting, so that an interrupted run can continue."""

import json
from pathlib import Path
from typing import Any

from avatar_runtime.errors import InputError
from avatar_runtime.output.atomic import write_file

FORMAT = 2
NAME = "results.json"


def read(path: Path) -> dict[str, Any]:
    """Read the results in a file. Raises InputError if there are none."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        version = results["format"]
        known = "setting" in results and all("ratios" in part for part in results["parts"].values())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror or err}") from err
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise InputError(f"{path} does not hold results of `python -m benchmarks`") from err
    if version != FORMAT or not known:
        raise InputError(f"{path} holds results of another version; measure them again")
    return dict(results)


def resumed(out: Path, setting: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Results in a folder that were measured in this setting, or new ones; and a message if old ones were set aside."""
    path, new = out / NAME, {"format": FORMAT, "setting": setting, "parts": {}}
    if not path.exists():
        return new, ""
    results = read(path)
    changed = [name for name, value in setting.items() if results["setting"].get(name) != value]
    if not changed:
        return results, ""
    finished = max((part["finished"] for part in results["parts"].values()), default="old")
    aside = path.rename(path.with_name(f"results-{finished}.json"))
    return new, f"{path} was measured with another {' and another '.join(changed)}; it is now {aside.name}"


def write(out: Path, results: dict[str, Any]) -> None:
    """Raises OutputError."""
    write_file(out / NAME, json.dumps(results, indent=1).encode())
