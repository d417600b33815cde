"""Turn torch's out-of-memory errors into a GuardError with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from guardedit.core.errors import GuardError


@contextmanager
def memory_errors(rows: int, *, remedy: str = "lower batch_rows") -> Iterator[None]:
    """Raise GuardError with the remedy when the block runs out of memory.

    Args:
        rows: rows in one forward pass, for the message.
        remedy: what to do about it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # The CPU allocator has no exception class of its own.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        raise GuardError(f"out of memory with {rows} rows a batch: {remedy}") from error
