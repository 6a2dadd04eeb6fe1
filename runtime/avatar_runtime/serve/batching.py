"""Draw pictures that are asked for at the same time together, in one run of the model.

A free worker gets its share of the waiting pictures, draws it in one thread and encodes it. So an idle server draws at
once and a busy one draws batches, without a delay to tune, and no picture moves between threads. The idea: Crankshaw et
al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.bulk import CHUNK_SIZE
from avatar_runtime.output.picture import Picture


class Answer(NamedTuple):
    """An encoded picture."""

    data: bytes
    """The same bytes as a file of avatar-gen: see `Picture.render`."""
    etag: str
    """The SHA-256 of data in quotes, as an entity tag."""


class _Job(NamedTuple):
    picture: Picture
    extension: str
    on_done: Callable[[Answer | Exception], None]


class Batcher:
    """Draws and encodes pictures for one event loop.

    Args:
        generator: One that was loaded with threads=1 is the fastest here.
        workers: Threads that draw and encode.
        on_batch: Called with the size of each batch before it is drawn, by the thread that draws it.
    """

    def __init__(
        self, generator: AvatarGenerator, workers: int, on_batch: Callable[[int], None] = lambda size: None
    ) -> None:
        self._generator = generator
        self._workers = workers
        self._on_batch = on_batch
        self._threads = ThreadPoolExecutor(workers, "avatar-worker")
        self._waiting: deque[_Job] = deque()
        self._due = False
        """Whether `_hand_out` is called soon."""
        self._batches = 0
        """Batches that are drawn or handed to a thread."""

    def submit(self, picture: Picture, extension: str, on_done: Callable[[Answer | Exception], None]) -> None:
        """Draw a picture. The event loop calls this and then on_done, also with what `Picture.render` raises."""
        self._waiting.append(_Job(picture, extension, on_done))
        self._hand_out_soon()

    def close(self) -> None:
        """Wait for the pictures that are being drawn, then end the threads."""
        self._threads.shutdown()

    def _hand_out_soon(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._hand_out)  # after all requests that came at the same time

    def _hand_out(self) -> None:
        """Give the workers what waits."""
        self._due = False
        loop = asyncio.get_running_loop()
        while self._waiting:
            free = self._workers - self._batches
            if free > 0:
                share = -(-len(self._waiting) // free)
            elif len(self._waiting) >= CHUNK_SIZE and free > -self._workers:
                share = CHUNK_SIZE  # the next one, so that the worker need not wait for the event loop
            else:
                break
            self._batches += 1
            self._threads.submit(self._work, self._take(share), loop)

    def _take(self, share: int) -> list[_Job]:
        """Take a worker's share of the waiting jobs, oldest first: about CHUNK_SIZE avatars of one truncation."""
        batch = [self._waiting.popleft()]
        size = len(batch[0].picture.names)
        while self._waiting and len(batch) < share and size < CHUNK_SIZE:
            if self._waiting[0].picture.truncation != batch[0].picture.truncation:
                break
            batch.append(self._waiting.popleft())
            size += len(batch[-1].picture.names)
        return batch

    def _work(self, batch: list[_Job], loop: asyncio.AbstractEventLoop) -> None:
        self._on_batch(sum(len(job.picture.names) for job in batch))
        answers = list(self._draw(batch))
        # All at once: waking the event loop for each answer took a fifth more CPU time.
        with suppress(RuntimeError):  # the event loop has ended, and with it all who wait
            loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _draw(self, batch: list[_Job]) -> Iterator[Answer | Exception]:
        """The answer to each job of a batch, or the exception."""
        names = [name for job in batch for name in job.picture.names]
        try:
            images = self._generator.generate(names, truncation=batch[0].picture.truncation)
        except Exception as err:
            yield from [err] * len(batch)
            return
        for job in batch:
            count = len(job.picture.names)
            yield self._encode(job, images[:count])
            images = images[count:]

    def _encode(self, job: _Job, images: UInt8) -> Answer | Exception:
        try:
            data = encode(job.picture.compose(images), job.extension, job.picture.text(self._generator))
        except Exception as err:
            return err
        return Answer(data, f'"{hashlib.sha256(data).hexdigest()}"')

    def _deliver(self, batch: list[_Job], answers: list[Answer | Exception]) -> None:
        self._batches -= 1
        self._hand_out_soon()
        for job, answer in zip(batch, answers, strict=True):
            job.on_done(answer)
