"""Apply one function to many items with several threads, lazily and in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield function(item) for each item, in the order of items.

    Args:
        function: Called by several threads at a time.
        items: May be endless: at most two items for each worker are taken ahead of the result that is asked for.
        workers: The number of threads; 1 uses the caller's own.

    Raises:
        What function raises, when its result would have been next. Then, and when no more results are asked for, calls
        that have not begun are cancelled and calls that have begun are waited for.
    """
    if workers == 1:
        yield from map(function, items)
        return
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) == 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
