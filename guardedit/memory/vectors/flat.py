"""Numbered vectors in one matrix. A search compares all of them, so it is exact."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.encoder import Vectors

Numbers = NDArray[np.int64]
#: Which numbers a search may find, by number; it may be longer than needed.
Allowed = NDArray[np.bool_]

#: Rows allocated at first. The number doubles whenever all rows are used.
_INITIAL_ROWS = 64
#: Most cosines that are computed together: 16 MB of them.
_MOST_COSINES = 2**22


class NearestVectors(NamedTuple):
    """The nearest vectors of n questions, best first.

    Attributes:
        cosines: (n, k) float32; -inf where there are fewer than k vectors.
        numbers: (n, k) their numbers; -1 as above.
    """

    cosines: Vectors
    numbers: Numbers


class FlatVectors:
    """Vectors by number. Numbers are small: the matrix has a row for each number up to the largest."""

    def __init__(self, dim: int) -> None:
        self._rows: Vectors = np.zeros((_INITIAL_ROWS, dim), dtype=np.float32)
        self._used = 0  # rows below are in use, or free
        self._free: set[int] = set()

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        """Store (n, dim) vectors under numbers that are not in use."""
        if not len(numbers):
            return
        end = max(self._used, int(numbers.max()) + 1)
        if end > len(self._rows):
            more = np.zeros((max(end, 2 * len(self._rows)), self._rows.shape[1]), dtype=np.float32)
            more[: self._used] = self._rows[: self._used]
            self._rows = more
        self._free.update(range(self._used, end))
        self._free.difference_update(numbers.tolist())
        self._rows[numbers] = vectors
        self._used = end

    def remove(self, numbers: Numbers) -> None:
        """Free the rows of numbers that are in use."""
        self._free.update(numbers.tolist())

    def rows(self, numbers: Numbers) -> Vectors:
        """(n, dim) float32: the vectors of numbers that are in use."""
        found: Vectors = self._rows[numbers]
        return found

    def search(self, vectors: Vectors, k: int, allowed: Allowed | None = None) -> NearestVectors:
        """The k nearest of (n, dim) vectors."""
        cosines = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        numbers = np.full((len(vectors), k), -1, dtype=np.int64)
        together = max(1, _MOST_COSINES // max(1, self._used))
        hidden = np.fromiter(self._free, dtype=np.int64, count=len(self._free))
        for start in range(0, len(vectors), together):
            part = vectors[start : start + together] @ self._rows[: self._used].T  # (n, used)
            part[:, hidden] = -np.inf
            if allowed is not None:
                part[:, ~allowed[: self._used]] = -np.inf
            best = _largest(part, min(k, self._used))
            at = slice(start, start + len(part))
            cosines[at, : best.shape[1]] = np.take_along_axis(part, best, axis=1)
            numbers[at, : best.shape[1]] = best
        numbers[np.isneginf(cosines)] = -1
        return NearestVectors(cosines, numbers)


def _largest(values: Vectors, k: int) -> Numbers:
    """(n, k) columns of the largest values of each row, the largest first."""
    if k < values.shape[1]:
        columns = np.argpartition(values, -k, axis=1)[:, -k:]
    else:
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
