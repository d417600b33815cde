"""What an allocator raises, said as ours. Knows torch's ways of running out of memory and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from guardedit.core.errors import GuardError


@contextmanager
def memory_errors(rows: int, *, remedy: str = "lower batch_rows") -> Iterator[None]:
    """GuardError with the remedy in place of whatever an allocator raises; `rows` were in one pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # The CPU allocator has no exception class of its own.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        raise GuardError(f"out of memory with {rows} rows a batch: {remedy}") from error
