"""The parts of `python -m benchmarks`, each a module beside this one."""

import importlib
from types import ModuleType

PARTS = ("latency", "parity", "commands", "bulk", "size", "training")
"""In the order in which they are measured and shown."""


def module(part: str) -> ModuleType:
    """The module of a part.

    It has `measure(setting, make_models, say)`; `tables` and `headline`, which take what measure returned; and `READ`,
    a text on how to read them. `INPUTS` names the fields of the setting that it uses besides the model.
    """
    return importlib.import_module(f"benchmarks.suite.{part}")
