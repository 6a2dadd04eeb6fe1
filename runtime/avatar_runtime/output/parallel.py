"""One function of many items by several threads, in order and lazily."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """function of each item, in the order of items, by so many threads.

    At most two items for each thread are taken ahead of the result that is asked for, so items may be endless. What
    function raises is raised in its turn; then, or when no more results are asked for, what has not begun never does,
    and what has begun is waited for.
    """
    begun: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) == 2 * workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
