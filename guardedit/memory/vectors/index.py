"""The nearest of many vectors, while vectors come and go.

Few vectors are all compared (`FlatVectors`). For more than `FLAT`, a thread in the background makes a graph
(`GraphVectors`); meanwhile, and if that fails, all are compared. A new graph is made when many of its vectors
were removed, or when there are several times as many.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors
from guardedit.memory.vectors.flat import Allowed, FlatVectors, NearestVectors, Numbers
from guardedit.memory.vectors.graph import GraphVectors, recall

#: Most vectors that are all compared: 25 MB, which take about two milliseconds on one core.
FLAT = 2**14
#: How many times as many vectors there must be for a new graph. How far a search looks is measured then.
_GROWTH = 4
#: Share of a graph's vectors that may be removed ones.
_REMOVED = 0.25
#: Vectors that are copied together while others wait.
_CHUNK = 1024
_LOG = logging.getLogger(__name__)


class _Done(NamedTuple):
    """A change while a graph is made: vectors under numbers, or None where they were removed."""

    numbers: Numbers
    vectors: Vectors | None


class VectorIndex:
    """Unit vectors by number, and the nearest ones to a question. Thread-safe.

    Args:
        dim: length of a vector.
        flat: most vectors that are all compared.
        seed: of every random choice.
    """

    def __init__(self, dim: int, *, flat: int = FLAT, seed: int = 0) -> None:
        self._dim, self._most_flat, self._seed = dim, flat, seed
        self._store: FlatVectors | GraphVectors = FlatVectors(dim)
        self._live = np.zeros(64, dtype=np.bool_)  # by number
        self._free: list[int] = []
        self._used = 0  # numbers below are live or free
        self._built = 0  # number of vectors when the last graph was begun
        self._filling = 0  # number of vectors that are expected while many are added
        self._changes: list[_Done] | None = None  # while a thread makes a graph
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self._used - len(self._free)

    @property
    def is_exact(self) -> bool:
        """Whether all vectors are compared."""
        return isinstance(self._store, FlatVectors)

    def add(self, vectors: Vectors) -> Numbers:
        """Store (n, dim) vectors; returns their (n,) numbers. Numbers of removed vectors are used again.

        Raises:
            MemoryIndexError: FAISS failed.
        """
        with self._lock:
            numbers = self._numbers(len(vectors))
            self._store.put(numbers, vectors)
            self._live[numbers] = True
            self._changed(_Done(numbers, vectors))
            self._build_if_needed()
        return numbers

    def remove(self, numbers: Numbers) -> None:
        """Remove the vectors of these numbers."""
        with self._lock:
            self._store.remove(numbers)
            self._live[numbers] = False
            self._free += numbers.tolist()
            self._changed(_Done(numbers, None))
            self._build_if_needed()

    def rows(self, numbers: Numbers) -> Vectors:
        """(n, dim) float32: the vectors of these numbers."""
        with self._lock:
            return self._store.rows(numbers)

    def search(self, vectors: Vectors, k: int, allowed: Allowed | None = None) -> NearestVectors:
        """The k nearest of (n, dim) vectors; `allowed` says by number which of them may be found."""
        with self._lock:
            if not len(vectors) or not len(self):
                empty = np.full((len(vectors), k), -np.inf, dtype=np.float32)
                return NearestVectors(empty, np.full((len(vectors), k), -1, dtype=np.int64))
            return self._store.search(vectors, min(k, len(self)), allowed)

    def recall(self, vectors: Vectors, k: int) -> float:
        """Share of the k nearest of (n, dim) vectors that `search` finds."""
        with self._lock:
            if isinstance(self._store, FlatVectors):
                return 1.0
            return recall(self._store.search(vectors, k), self._store.exact(vectors, k))

    @contextmanager
    def filling(self, count: int) -> Iterator[None]:
        """A block that adds about `count` vectors: if they are many, a graph is made as they come."""
        with self._lock:
            self._filling = len(self) + count
        try:
            yield
        finally:
            with self._lock:
                self._filling = 0
                if isinstance(self._store, GraphVectors) and self._changes is None:
                    self._built = len(self)
                    self._store.tune(self._sample())
                self._build_if_needed()

    def wait(self) -> None:
        """Wait until no thread makes a graph."""
        if self._thread is not None:
            self._thread.join()

    def _numbers(self, count: int) -> Numbers:
        again = [self._free.pop() for _ in range(min(count, len(self._free)))]
        fresh = range(self._used, self._used + count - len(again))
        self._used = fresh.stop
        if self._used > len(self._live):
            longer = np.zeros(max(self._used, 2 * len(self._live)), dtype=np.bool_)
            longer[: len(self._live)] = self._live
            self._live = longer
        return np.asarray([*again, *fresh], dtype=np.int64)

    def _changed(self, change: _Done) -> None:
        if self._changes is not None:
            self._changes.append(change)

    def _build_if_needed(self) -> None:
        if self._changes is not None:
            return
        count, graph = len(self), self._store if isinstance(self._store, GraphVectors) else None
        if self._filling > self._most_flat:
            if graph is None and count >= _CHUNK:
                self._store = self._graph_of_all()
            return
        if count <= self._most_flat:
            return
        is_wasted = graph is not None and graph.removed > _REMOVED * (graph.removed + count)
        if is_wasted or count > max(self._most_flat, _GROWTH * self._built):
            self._built = count  # also after a failure: the next try is when there are many more
            self._changes = []
            self._thread = threading.Thread(target=self._build, name="guardedit-index", daemon=True)
            self._thread.start()

    def _graph_of_all(self) -> GraphVectors:
        numbers, graph = np.flatnonzero(self._live), GraphVectors(self._dim)
        graph.put(numbers, self._store.rows(numbers))
        return graph

    def _sample(self) -> Numbers:
        """All numbers in random order."""
        return np.random.default_rng(self._seed).permutation(np.flatnonzero(self._live))

    def _build(self) -> None:
        """Make a graph in the background: others may search and change the vectors between two steps."""
        try:
            with self._lock:
                numbers = self._sample()
            graph = GraphVectors(self._dim)
            for start in range(0, len(numbers), _CHUNK):
                with self._lock:
                    part = np.setdiff1d(numbers[start : start + _CHUNK], self._changed_numbers())
                    vectors = self._store.rows(part)
                graph.put(part, vectors)
            with self._lock:
                unchanged = ~np.isin(numbers, self._changed_numbers())
            graph.tune(numbers[unchanged])
            with self._lock:
                for change in self._changes or ():
                    graph.remove(change.numbers)
                    if change.vectors is not None:
                        graph.put(change.numbers, change.vectors)
                self._store = graph
        except (MemoryIndexError, MemoryError) as error:
            _LOG.warning(
                "a graph of %d vectors cannot be made: %s; the search goes on as before", len(self), error
            )
        finally:
            with self._lock:
                self._changes = None

    def _changed_numbers(self) -> Numbers:
        changes = self._changes or []
        return np.concatenate([np.zeros(0, dtype=np.int64), *(change.numbers for change in changes)])
