"""Requests that come at the same time are drawn together: one run of the session for many.

While one batch is drawn the next requests wait, and all that wait are the next batch. An idle server thus draws at
once, and a busy one in large batches, without a delay to tune. Where the idea comes from: Crankshaw et al., "Clipper: A
Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from avatar_runtime.generator import BATCH_SIZE, AvatarGenerator
from avatar_runtime.pixels import UInt8


class _Job(NamedTuple):
    names: Sequence[str]
    truncation: float
    done: "asyncio.Future[UInt8]"


class Batcher:
    """Draws for many tasks of one event loop with one generator, one batch at a time.

    on_batch is told the size of each batch before it is drawn.
    """

    def __init__(self, generator: AvatarGenerator, on_batch: Callable[[int], None] = lambda size: None) -> None:
        self._generator = generator
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, "avatar-draw")
        self._drawing: asyncio.Task[None] | None = None

    async def draw(self, names: Sequence[str], truncation: float = 1.0) -> UInt8:
        """The avatars of names: uint8 [N, H, W, C]. Raises what `AvatarGenerator.generate` does."""
        job = _Job(names, truncation, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._drawing is None:
            self._drawing = asyncio.create_task(self._draw_all())
        return await job.done

    def close(self) -> None:
        """Wait for the batch that is being drawn and let the thread go."""
        self._thread.shutdown()

    async def _draw_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                batch = [job for job in self._next_batch() if not job.done.done()]  # else its client has gone
                names = [name for job in batch for name in job.names]
                if not names:
                    continue
                self._on_batch(len(names))
                try:
                    images = await loop.run_in_executor(self._thread, self._generate, names, batch[0].truncation)
                except Exception as err:
                    for job in batch:
                        if not job.done.done():
                            job.done.set_exception(err)
                    continue
                start = 0
                for job in batch:
                    if not job.done.done():
                        job.done.set_result(images[start : start + len(job.names)])
                    start += len(job.names)
        finally:
            self._drawing = None

    def _generate(self, names: list[str], truncation: float) -> UInt8:
        return self._generator.generate(names, truncation=truncation)

    def _next_batch(self) -> list[_Job]:
        """The oldest job and those of its truncation, up to about BATCH_SIZE avatars; the others keep their order."""
        truncation = self._jobs[0].truncation
        batch: list[_Job] = []
        others: list[_Job] = []
        size = 0
        while self._jobs and size < BATCH_SIZE:
            job = self._jobs.popleft()
            if job.truncation == truncation:
                batch.append(job)
                size += len(job.names)
            else:
                others.append(job)
        self._jobs.extendleft(reversed(others))
        return batch
