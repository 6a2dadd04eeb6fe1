"""Draw pictures that are asked for at the same time together, in one run of the model.

A free worker takes its share of the waiting pictures, draws it in one thread and encodes it. So an idle server draws at
once and a busy one draws batches, without a delay to tune, and no picture moves between threads. The idea: Crankshaw et
al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3.
"""

import asyncio
import hashlib
import threading
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
    done: "asyncio.Future[Answer]"


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
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._awake = 0
        """Workers that will look at _waiting before they stop."""
        self._drawing = 0

    def submit(self, picture: Picture, extension: str) -> "asyncio.Future[Answer]":
        """Draw a picture: a future of the answer, or of what `Picture.render` raises. Call it in the event loop."""
        loop = asyncio.get_running_loop()
        job = _Job(picture, extension, loop.create_future())
        with self._lock:
            self._waiting.append(job)
            first = len(self._waiting) == 1
        if first:
            loop.call_soon(self._wake)  # after all requests that came at the same time
        return job.done

    def close(self) -> None:
        """Wait for the pictures that are being drawn, then end the threads."""
        self._threads.shutdown()

    def _wake(self) -> None:
        with self._lock:
            more = min(self._workers - self._awake, len(self._waiting))
            self._awake += more
        for _ in range(more):
            self._threads.submit(self._work)

    def _work(self) -> None:
        while batch := self._take():
            self._on_batch(sum(len(job.picture.names) for job in batch))
            answers = list(self._draw(batch))
            with self._lock:
                self._drawing -= 1
            # All at once: waking the event loop for each answer took a fifth more CPU time.
            with suppress(RuntimeError):  # the event loop has ended, and with it all who wait
                batch[0].done.get_loop().call_soon_threadsafe(_deliver, batch, answers)

    def _take(self) -> list[_Job]:
        """Take a free worker's share of the waiting jobs, oldest first: about CHUNK_SIZE avatars of one truncation."""
        batch: list[_Job] = []
        with self._lock:
            share = -(-len(self._waiting) // (self._workers - self._drawing))
            size = 0
            while self._waiting and len(batch) < share and size < CHUNK_SIZE:
                if batch and self._waiting[0].picture.truncation != batch[0].picture.truncation:
                    break
                batch.append(self._waiting.popleft())
                size += len(batch[-1].picture.names)
            if batch:
                self._drawing += 1
            else:
                self._awake -= 1
        return batch

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


def _deliver(batch: list[_Job], answers: list[Answer | Exception]) -> None:
    for job, answer in zip(batch, answers, strict=True):
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
        else:
            job.done.set_result(answer)
