"""One thread for arithmetic whose bytes must repeat. Knows nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch's CPU arithmetic on one thread: sums split over threads round differently.

    The setting is the process's own, so other threads are slowed down meanwhile, never changed in result.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
