"""Control torch's CPU threads: one thread for reproducible bytes, or several small calls side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

#: Most calls that run at the same time; each has its own activations in memory.
SIDE_BY_SIDE = 4


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch's CPU arithmetic on one thread, since sums that are split over threads round differently.

    The setting is global to the process. Other threads compute more slowly meanwhile, with the same results.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def map_in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`[function(item) for item in items]`, several at a time on the threads that torch has.

    Two small matrix products side by side, on one thread each, take half as long as one after the other on
    two threads, which mostly wait for each other. The first error is raised once the running calls have
    ended.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items), SIDE_BY_SIDE)
    if workers <= 1:
        return [function(item) for item in items]
    share = threads // workers
    torch.set_num_threads(share)  # some libraries have one setting for all threads, others one for each
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)
