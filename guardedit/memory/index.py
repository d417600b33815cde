"""Nearest-fact search by vectors, with several keys per fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors
from guardedit.memory.vectors import VectorIndex
from guardedit.memory.vectors.flat import Numbers


class Hit(NamedTuple):
    """A fact and the cosine of its best key."""

    fact_id: str
    cosine: float


class KeyIndex:
    """Inner-product search over the keys of facts, see `VectorIndex`. Rows must have length 1."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._vectors = VectorIndex(dim)
        self._fact_of: list[str] = []  # by key number; stale where the key was removed
        self._numbers: dict[str, Numbers] = {}  # fact id -> its key numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, fact_id: object) -> bool:
        return fact_id in self._numbers

    def add(self, fact_id: str, vectors: Vectors) -> None:
        """Add the (keys, dim) float32 keys of a fact, in place of any previous keys of the fact.

        Raises:
            MemoryIndexError: wrong shape, or FAISS failed.
        """
        self.add_all([(fact_id, vectors)])

    def add_all(self, keys: Sequence[tuple[str, Vectors]]) -> None:
        """`add` for several facts, each once; many together take less time."""
        for fact_id, vectors in keys:
            if vectors.ndim != 2 or vectors.shape[1] != self._dim:
                raise MemoryIndexError(
                    f"the keys of fact {fact_id} have shape {vectors.shape}, expected (keys, {self._dim}): "
                    "encode them with the encoder of this memory"
                )
        for fact_id, _ in keys:
            self.delete(fact_id)
        if not keys:
            return
        numbers = self._vectors.add(np.concatenate([vectors for _, vectors in keys]))
        self._fact_of += [""] * (int(numbers.max(initial=-1)) + 1 - len(self._fact_of))
        start = 0
        for fact_id, vectors in keys:
            own = numbers[start : start + len(vectors)]
            start += len(vectors)
            self._numbers[fact_id] = own
            for number in own.tolist():
                self._fact_of[number] = fact_id

    def delete(self, fact_id: str) -> None:
        """Remove the keys of a fact, if it has any."""
        numbers = self._numbers.pop(fact_id, None)
        if numbers is not None:
            self._vectors.remove(numbers)

    def search(self, vectors: Vectors, *, k_keys: int = 32) -> list[list[Hit]]:
        """For each row of (n, dim), the distinct facts among the `k_keys` nearest keys, best first."""
        found = self._vectors.search(vectors, k_keys)
        return [self._hits(c, n) for c, n in zip(found.cosines.tolist(), found.numbers.tolist(), strict=True)]

    def recall(self, vectors: Vectors, *, k: int) -> float:
        """Share of the k nearest keys of each row of (n, dim) that a search finds."""
        return self._vectors.recall(vectors, k)

    def vectors(self, fact_id: str) -> Vectors:
        """The (keys, dim) float32 keys of one fact, in the order in which they were added."""
        return self._vectors.rows(self._numbers[fact_id])

    @contextmanager
    def filling(self, keys: int) -> Iterator[None]:
        """A block that adds about so many keys."""
        with self._vectors.filling(keys):
            yield

    def wait(self) -> None:
        """Wait for what goes on in the background."""
        self._vectors.wait()

    def _hits(self, cosines: list[float], numbers: list[int]) -> list[Hit]:
        best: dict[str, float] = {}
        for number, cosine in zip(numbers, cosines, strict=True):
            if number >= 0:
                best.setdefault(self._fact_of[number], cosine)
        return [Hit(fact_id, cosine) for fact_id, cosine in best.items()]
