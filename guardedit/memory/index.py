"""Nearest-fact search by vectors: a FAISS index with several keys per fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import faiss
import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors

T = TypeVar("T")

#: Deleted keys stay in FAISS until there are more than this many and they are more than a quarter of all
#: keys. Removing one key costs as much as removing all of them, because FAISS moves every row behind it.
KEPT_DELETED = 256


class Hit(NamedTuple):
    """A fact and the cosine of its best key."""

    fact_id: str
    cosine: float


class KeyIndex:
    """Exact inner-product search over the keys of facts. Rows must have length 1."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._index: Any = _faiss(lambda: faiss.IndexIDMap2(faiss.IndexFlatIP(dim)))
        self._fact_of: dict[int, str] = {}  # key number -> fact id
        self._numbers: dict[str, list[int]] = {}  # fact id -> its key numbers
        self._deleted: list[int] = []  # key numbers that FAISS still holds
        self._next = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, fact_id: object) -> bool:
        return fact_id in self._numbers

    def add(self, fact_id: str, vectors: Vectors) -> None:
        """Add the (keys, dim) float32 keys of a fact, in place of any previous keys of the fact.

        Raises:
            MemoryIndexError: wrong shape, or FAISS failed.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self._dim:
            raise MemoryIndexError(
                f"the keys of fact {fact_id} have shape {vectors.shape}, expected (keys, {self._dim}): "
                "encode them with the encoder of this memory"
            )
        self.delete(fact_id)
        numbers = list(range(self._next, self._next + len(vectors)))
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        _faiss(lambda: self._index.add_with_ids(rows, np.asarray(numbers, dtype=np.int64)))
        self._next += len(vectors)
        self._fact_of.update(dict.fromkeys(numbers, fact_id))
        self._numbers[fact_id] = numbers

    def delete(self, fact_id: str) -> None:
        """Remove the keys of a fact, if it has any."""
        numbers = self._numbers.pop(fact_id, None)
        if numbers is None:
            return
        for number in numbers:
            del self._fact_of[number]
        self._deleted += numbers
        if len(self._deleted) > max(KEPT_DELETED, len(self._fact_of) // 3):
            self._purge()

    def search(self, vectors: Vectors, *, k_keys: int = 32) -> list[list[Hit]]:
        """For each row of (n, dim), the distinct facts among the `k_keys` nearest keys, best first."""
        if not self._fact_of or not len(vectors):
            return [[] for _ in vectors]
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        wanted = min(k_keys, len(self._fact_of))
        cosines, numbers = _faiss(lambda: self._index.search(rows, wanted))
        if self._deleted and np.isin(numbers, self._deleted).any():
            # So many results contain enough live keys, even if every deleted key is nearer.
            cosines, numbers = _faiss(lambda: self._index.search(rows, wanted + len(self._deleted)))
        return [self._hits(c, n, wanted) for c, n in zip(cosines, numbers, strict=True)]

    def vectors(self, fact_id: str) -> Vectors:
        """The (keys, dim) float32 keys of one fact, in the order in which they were added."""
        numbers = np.asarray(self._numbers[fact_id], dtype=np.int64)
        rows: Vectors = _faiss(lambda: self._index.reconstruct_batch(numbers))
        return rows

    def _purge(self) -> None:
        """Remove deleted keys from FAISS."""
        gone = np.asarray(self._deleted, dtype=np.int64)
        _faiss(lambda: self._index.remove_ids(gone))
        self._deleted = []

    def _hits(self, cosines: Vectors, numbers: Any, wanted: int) -> list[Hit]:
        pairs = zip(numbers.tolist(), cosines.tolist(), strict=True)
        live = [(number, cosine) for number, cosine in pairs if number in self._fact_of]
        best: dict[str, float] = {}
        for number, cosine in live[:wanted]:
            best.setdefault(self._fact_of[number], cosine)
        return [Hit(fact_id, cosine) for fact_id, cosine in best.items()]


def _faiss(call: Callable[[], T]) -> T:
    """Run a FAISS call and convert its errors to MemoryIndexError."""
    try:
        return call()
    except (RuntimeError, AssertionError, ValueError, TypeError, MemoryError) as error:
        raise MemoryIndexError(f"FAISS failed: {error}; rebuild the memory from the ledger") from error
