"""Reading, computing and writing at the same time: each in a thread of its own, with few frames in between.

with ahead(source) as frames, behind(sink.write) as write:
    for frame in frames:
        write(work(frame))
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 2  # items that wait between two threads at most: enough to even out their pace, few enough for the memory
END = object()


@contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """An iterator over `items`, of which a few are fetched by another thread before they are asked for.

    What fetching raises is raised where the item would have come. Leaving the block waits for the item being fetched.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        fetched = deque(pool.submit(next, source, END) for _ in range(DEPTH))

        def results() -> Iterator[Item]:
            while (item := fetched.popleft().result()) is not END:
                fetched.append(pool.submit(next, source, END))
                yield item

        try:
            yield results()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def behind(work: Callable[[Item], object]) -> Iterator[Callable[[Item], None]]:
    """A function that has `work` done on items by another thread, in order, with a few of them waiting.

    What `work` raises is raised by a later call, or on leaving the block, which waits until all is done, also where it
    is left by an exception; no item after the failed one is worked on.
    """
    failed = False
    waiting: deque[Future[None]] = deque()

    def do(item: Item) -> None:
        nonlocal failed
        if not failed:
            failed = True  # and it stays so where `work` raises
            work(item)
            failed = False

    def put(item: Item) -> None:
        while len(waiting) >= DEPTH or (waiting and waiting[0].done()):
            waiting.popleft().result()
        waiting.append(pool.submit(do, item))

    with ThreadPoolExecutor(1, "behind") as pool:
        yield put
        while waiting:
            waiting.popleft().result()
