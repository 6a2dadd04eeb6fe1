"""Pictures as the bytes of answers: drawn in batches, encoded beside, kept while they are asked for."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from avatar_runtime.cpus import cpu_limit
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.picture import Picture
from avatar_runtime.pixels import UInt8, encode
from avatar_runtime.serve.batching import Batcher

CACHE_BYTES = 64 * 2**20
"""Encoded pictures that are kept, the least recently asked for going first."""


class BusyError(Exception):
    """More avatars are asked for at a time than may be."""


class Answer(NamedTuple):
    """An encoded picture."""

    data: bytes
    """What `Picture.render` gives: the same bytes as a file of avatar-gen."""
    etag: str
    """The digest of data, as an entity tag."""


class Answers:
    """The pictures of one generator, for the tasks of one event loop. At most limit avatars are under way."""

    def __init__(self, generator: AvatarGenerator, limit: int, on_batch: Callable[[int], None]) -> None:
        self.generator = generator
        self.limit = limit
        self.under_way = 0
        self.cached = 0
        """Bytes that are kept."""
        self._batcher = Batcher(generator, on_batch)
        self._encoders = ThreadPoolExecutor(cpu_limit(), "avatar-encode")
        self._kept: OrderedDict[tuple[Picture, str], Answer] = OrderedDict()
        self._pending: dict[tuple[Picture, str], asyncio.Task[Answer]] = {}

    async def answer(self, picture: Picture, extension: str) -> Answer:
        """The picture, encoded. Raises BusyError at once rather than let it wait for long, or InputError."""
        key = picture, extension
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            return kept
        if key not in self._pending:
            if self.under_way + len(picture.names) > self.limit:
                raise BusyError
            self._pending[key] = asyncio.create_task(self._make(picture, extension))
        return await asyncio.shield(self._pending[key])  # others may wait for it when this client goes

    def close(self) -> None:
        """Wait for what is being drawn and encoded and let the threads go."""
        self._batcher.close()
        self._encoders.shutdown()

    async def _make(self, picture: Picture, extension: str) -> Answer:
        self.under_way += len(picture.names)
        try:
            images = await self._batcher.draw(picture.names, picture.truncation)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._encoders, self._encode, picture, extension, images)
        finally:
            self.under_way -= len(picture.names)
            del self._pending[picture, extension]
        self._keep((picture, extension), answer)
        return answer

    def _encode(self, picture: Picture, extension: str, images: UInt8) -> Answer:
        data = encode(picture.compose(images), extension, picture.text(self.generator))
        return Answer(data, f'"{hashlib.sha256(data).hexdigest()}"')

    def _keep(self, key: tuple[Picture, str], answer: Answer) -> None:
        self._kept[key] = answer
        self.cached += len(answer.data)
        while self.cached > CACHE_BYTES:
            self.cached -= len(self._kept.popitem(last=False)[1].data)
