"""Pictures as the bytes of answers: each drawn once for all who wait, kept while it is asked for."""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.batching import Answer, Batcher

CACHE_BYTES = 64 * 2**20
"""Encoded pictures that are kept with what they are known by, the least recently asked for going first."""

_Key: TypeAlias = tuple[Picture, str]


class BusyError(Exception):
    """More avatars are asked for at a time than may be."""


class Answers:
    """The pictures of one generator, for the tasks of one event loop, drawn and encoded by so many workers.

    At most limit avatars are under way.
    """

    def __init__(
        self,
        generator: AvatarGenerator,
        limit: int,
        workers: int = 1,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.limit = limit
        self.under_way = 0
        self.cached = 0
        """Bytes that are kept."""
        self._batcher = Batcher(generator, workers, on_batch)
        self._kept: OrderedDict[_Key, Answer] = OrderedDict()
        self._pending: dict[_Key, asyncio.Future[Answer]] = {}

    async def answer(self, picture: Picture, extension: str) -> Answer:
        """The picture, encoded. Raises BusyError at once rather than let it wait for long, or InputError."""
        key = picture, extension
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            return kept
        pending = self._pending.get(key)
        if pending is None:
            if self.under_way + len(picture.names) > self.limit:
                raise BusyError
            self.under_way += len(picture.names)
            pending = self._pending[key] = self._batcher.submit(picture, extension)
            pending.add_done_callback(lambda done: self._drawn(key, done))
        return await asyncio.shield(pending)  # others may wait for it when this client goes

    def close(self) -> None:
        """Wait for what is being drawn and let the threads go."""
        self._batcher.close()

    def _drawn(self, key: _Key, done: "asyncio.Future[Answer]") -> None:
        self.under_way -= len(key[0].names)
        del self._pending[key]
        if done.cancelled() or done.exception():
            return
        self._kept[key] = done.result()
        self.cached += _size(key, done.result())
        while self.cached > CACHE_BYTES:
            self.cached -= _size(*self._kept.popitem(last=False))


def _size(key: _Key, answer: Answer) -> int:
    """Bytes that a kept answer takes; a kilobyte of it are objects, as tracemalloc has it."""
    return len(answer.data) + 1024 + sum(map(sys.getsizeof, key[0].names))
