"""Numbered vectors in a graph of neighbours: a search walks through it and looks at a few hundred of them.

FAISS's HNSW index, in half precision: a cosine is right to about 1e-5. On the keys of CounterFact's facts,
as MiniLM encodes them, inverted lists find 99 % of the nearest only if they read most of the lists. How far a
search looks is set by measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors
from guardedit.memory.vectors.flat import Allowed, NearestVectors, Numbers

T = TypeVar("T")

#: FAISS's own types lack most of what is used here.
_FAISS: Any = faiss

#: Neighbours of a vector, and candidates for them.
_NEIGHBOURS, _CANDIDATES = 32, 80
#: How far a search looks: the first breadth that is tried, and the last.
_NARROW, _BROAD = 64, 4_096
#: Wanted share of the `_NEAREST` nearest vectors that a search finds, and questions to measure it with.
#: It is above .99, because it is measured on a sample.
_WANTED, _NEAREST, _TRIES = 0.995, 8, 128
#: Cosines that differ by less are equal: two stored texts can have the same words.
_EQUAL = 1e-4


class GraphVectors:
    """Vectors by number. Removed ones stay in the graph as waypoints; `removed` counts them."""

    def __init__(self, dim: int) -> None:
        self._index: Any = _faiss(lambda: _graph(dim))
        self.breadth = _NARROW
        self.removed = 0
        self._places: Numbers = np.full(64, -1, dtype=np.int64)  # number -> place in FAISS
        self._numbers: Numbers = np.full(64, -1, dtype=np.int64)  # place -> number; -1 for a removed one

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        """Store (n, dim) vectors under numbers that are not in use."""
        if not len(numbers):
            return
        first = int(self._index.ntotal)
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        _faiss(lambda: self._index.add(rows))
        places = np.arange(first, first + len(rows))
        self._places = _longer(self._places, int(numbers.max()) + 1)
        self._numbers = _longer(self._numbers, first + len(rows))
        self._places[numbers], self._numbers[places] = places, numbers

    def remove(self, numbers: Numbers) -> None:
        """Remove the vectors of these numbers; numbers that are not in use are ignored."""
        known = numbers[numbers < len(self._places)]
        places = self._places[known]
        places = places[places >= 0]
        self._numbers[places] = -1
        self._places[known] = -1
        self.removed += len(places)

    def rows(self, numbers: Numbers) -> Vectors:
        """(n, dim) float32: the vectors of numbers that are in use."""
        places = self._places[numbers]
        rows: Vectors = _faiss(lambda: self._index.reconstruct_batch(places))
        return rows

    def search(
        self, vectors: Vectors, k: int, allowed: Allowed | None = None, *, breadth: int | None = None
    ) -> NearestVectors:
        """The k nearest of (n, dim) vectors, looking as far as `breadth`; default: as measured."""
        options = _FAISS.SearchParametersHNSW(
            efSearch=max(breadth or self.breadth, k), sel=self._selector(allowed)
        )
        return self._found(self._index, vectors, k, options)

    def exact(self, vectors: Vectors, k: int) -> NearestVectors:
        """The k nearest of (n, dim) vectors, comparing all."""
        storage = _FAISS.downcast_index(self._index.storage)
        return self._found(storage, vectors, k, _FAISS.SearchParameters(sel=self._selector(None)))

    def tune(self, numbers: Numbers) -> float:
        """Set how far a search looks: as little as finds `_WANTED` of the nearest vectors.

        Each question lies between one of the vectors `numbers` and another one near it: like a question of a
        user, it is similar to what is stored, and not stored itself. Returns the share that was reached.
        """
        rows = self.rows(numbers[:_TRIES])
        near = self.search(rows, _NEAREST).numbers
        rows = rows + self.rows(near[np.arange(len(rows)), (near >= 0).sum(axis=1) - 1])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        exact = self.exact(rows, _NEAREST)
        share, breadth = 0.0, _NARROW
        while True:
            share = recall(self.search(rows, _NEAREST, breadth=breadth), exact)
            if share >= _WANTED or breadth >= _BROAD:
                self.breadth = breadth
                return share
            breadth *= 2

    def _selector(self, allowed: Allowed | None) -> Any:
        if allowed is None and not self.removed:
            return None
        numbers = self._numbers[: int(self._index.ntotal)]
        live = numbers >= 0
        if allowed is not None:
            live[live] = allowed[numbers[live]]
        return _FAISS.IDSelectorBitmap(np.packbits(live, bitorder="little"))

    def _found(self, index: Any, vectors: Vectors, k: int, options: Any) -> NearestVectors:
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        cosines, places = _faiss(lambda: index.search(rows, k, params=options))
        cosines[places < 0] = -np.inf
        return NearestVectors(cosines, np.where(places < 0, -1, self._numbers[places]))


def recall(found: NearestVectors, exact: NearestVectors) -> float:
    """Share of the exactly nearest vectors that were found; one that is as near counts too."""
    there = np.isfinite(exact.cosines)
    return float((found.cosines >= exact.cosines - _EQUAL)[there].mean()) if there.any() else 1.0


def _graph(dim: int) -> Any:
    index: Any = _FAISS.IndexHNSWSQ(
        dim, _FAISS.ScalarQuantizer.QT_fp16, _NEIGHBOURS, _FAISS.METRIC_INNER_PRODUCT
    )
    index.hnsw.efConstruction = _CANDIDATES
    index.train(np.zeros((1, dim), dtype=np.float32))  # half precision has nothing to learn
    return index


def _longer(values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    if length <= len(values):
        return values
    more = np.full(max(length, 2 * len(values)), -1, dtype=np.int64)
    more[: len(values)] = values
    return more


def _faiss(call: Callable[[], T]) -> T:
    """Run a FAISS call and convert its errors to MemoryIndexError."""
    try:
        return call()
    except (RuntimeError, AssertionError, ValueError, TypeError, MemoryError) as error:
        raise MemoryIndexError(f"FAISS failed: {error}; rebuild the memory from the ledger") from error
