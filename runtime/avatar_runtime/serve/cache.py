"""Encoded pictures: each is drawn once for all who wait for it, and kept in a cache."""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.batching import Answer, Batcher

CACHE_BYTES = 64 * 2**20
"""Size of the cache, keys included. The least recently used picture goes first."""

_Key: TypeAlias = tuple[Picture, str]


class BusyError(Exception):
    """Too many avatars are asked for at once."""


class PictureCache:
    """The encoded pictures of one generator, for one event loop.

    Args:
        generator, workers, on_batch: As in `Batcher`.
        limit: How many avatars may wait or be drawn at a time.
        on_change: Called with how many more avatars are under way, and how many more bytes are cached.
    """

    def __init__(
        self,
        generator: AvatarGenerator,
        limit: int,
        workers: int = 1,
        on_batch: Callable[[int], None] = lambda size: None,
        on_change: Callable[[int, int], None] = lambda avatars, cached: None,
    ) -> None:
        self.generator = generator
        self.limit = limit
        self.under_way = 0
        self.cached = 0
        """Bytes in the cache."""
        self._batcher = Batcher(generator, workers, on_batch)
        self._on_change = on_change
        self._kept: OrderedDict[_Key, Answer] = OrderedDict()
        self._waiting: dict[_Key, list[asyncio.Future[Answer]]] = {}
        """Those who wait for a picture that is drawn: each has a future of its own, and may go away."""

    async def answer(self, picture: Picture, extension: str) -> Answer:
        """The encoded picture. Raises InputError, or BusyError at once if more than limit avatars are under way."""
        key = picture, extension
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            return kept
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if waiting := self._waiting.get(key):
            waiting.append(future)
        elif self.under_way + len(picture.names) > self.limit:
            raise BusyError
        else:
            self._waiting[key] = [future]
            self._change(len(picture.names), 0)
            self._batcher.submit(picture, extension, partial(self._drawn, key))
        return await future

    def close(self) -> None:
        """Wait for the pictures that are being drawn, then end the threads."""
        self._batcher.close()
        self._on_change(0, -self.cached)

    def _change(self, avatars: int, cached: int) -> None:
        self.under_way += avatars
        self.cached += cached
        self._on_change(avatars, cached)

    def _drawn(self, key: _Key, answer: Answer | Exception) -> None:
        cached = 0
        if not isinstance(answer, Exception):
            self._kept[key] = answer
            cached = _size(key, answer)
            while self.cached + cached > CACHE_BYTES:
                cached -= _size(*self._kept.popitem(last=False))
        self._change(-len(key[0].names), cached)
        for future in self._waiting.pop(key):
            if future.done():  # who asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _size(key: _Key, answer: Answer) -> int:
    """Bytes that a cached answer takes; its objects are a kilobyte, as measured by tracemalloc."""
    return len(answer.data) + 1024 + sum(map(sys.getsizeof, key[0].names))
