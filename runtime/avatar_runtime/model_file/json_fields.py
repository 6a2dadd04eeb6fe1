"""The fields of a JSON object that a stranger wrote, each taken as one type and within bounds, or refused."""

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_MISSING: Any = object()
_MAX_DEPTH, _MAX_VALUES = 8, 10_000


class Fields:
    """A JSON object. Every method raises ValueError, with the field's name, for what is missing, wrong or too large."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    @classmethod
    def from_json(cls, text: str, characters: int) -> "Fields":
        """Parse a JSON object of at most so many characters."""
        if len(text) > characters:
            raise ValueError(f"it has {len(text)} characters, more than {characters}")
        try:
            values = json.loads(text)
        except RecursionError as err:
            raise ValueError("it is nested too deeply") from err
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        return cls(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, of whatever type."""
        return self._values.get(name, default)

    def whole(self, name: str, least: int, most: int, default: int = _MISSING) -> int:
        """A whole number."""
        value = self._value(name, default)
        return value if type(value) is int and least <= value <= most else self.refuse(name)

    def choice(self, name: str, allowed: tuple[T, ...], default: T = _MISSING) -> T:
        """One of a few values, of the same type."""
        value = self._value(name, default)
        for one in allowed:
            if type(value) is type(one) and value == one:
                return one
        return self.refuse(name)

    def pair(self, name: str, allowed: tuple[tuple[float, float], ...]) -> tuple[float, float]:
        """One of a few pairs of numbers."""
        value = self._value(name)
        for one in allowed:
            if isinstance(value, list) and all(type(v) in (int, float) for v in value) and value == list(one):
                return one
        return self.refuse(name)

    def text(self, name: str, characters: int, default: str = _MISSING) -> str:
        """A text of at most so many characters, which UTF-8 can write."""
        value: str = self._value(name, default)
        return value if _is_text(value, characters) else self.refuse(name)

    def texts(self, name: str, most: int, characters: int, default: tuple[str, ...] = _MISSING) -> tuple[str, ...]:
        """A list of at most so many texts."""
        value = self._value(name, default)
        if name not in self._values:
            return default
        if not isinstance(value, list) or len(value) > most or not all(_is_text(text, characters) for text in value):
            self.refuse(name)
        return tuple(value)

    def digest(self, name: str, default: str = _MISSING) -> str:
        """A SHA-256 in hexadecimal digits."""
        value: str = self._value(name, default)
        if value == default or (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
            return value
        return self.refuse(name)

    def optional_object(self, name: str) -> "Fields | None":
        """An object, or None."""
        value = self._value(name, None)
        if value is None:
            return None
        return Fields(value, f"{self._prefix}{name}.") if isinstance(value, dict) else self.refuse(name)

    def plain_object(self, name: str) -> Mapping[str, Any]:
        """An object of finite numbers, texts, lists and objects, empty by default."""
        value = self._value(name, {})
        if not isinstance(value, dict) or not _is_plain(value):
            self.refuse(name)
        return value

    def refuse(self, name: str, reason: str = "") -> NoReturn:
        """Raise ValueError for a field, with its value or a reason."""
        raise ValueError(f"{self._prefix}{name} is {reason or _shown(self._values.get(name))}")

    def _value(self, name: str, default: Any = _MISSING) -> Any:
        value = self._values.get(name, default)
        if value is _MISSING:
            raise ValueError(f"{self._prefix}{name} is missing")
        return value


def _is_text(value: object, characters: int) -> bool:
    return isinstance(value, str) and len(value) <= characters and not re.search("[\ud800-\udfff]", value)


def _is_plain(value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    seen = 0
    for _ in range(_MAX_DEPTH):
        seen += len(level)
        if seen > _MAX_VALUES:
            return False
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, float):
                if not math.isfinite(one):
                    return False
            elif isinstance(one, int):
                if abs(one) >= 2**63:
                    return False
            elif one is not None and not _is_text(one, 1000):
                return False
        level = inner
    return not level


def _shown(value: object) -> str:
    short = reprlib.Repr()
    short.maxother = short.maxstring = short.maxlong = 40
    text = short.repr(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 100 else f"{text[:100]}..."
