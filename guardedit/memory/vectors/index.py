"""The nearest of many vectors, while vectors come and go.

Few vectors are all compared (`FlatVectors`). More than `FLAT` are divided into lists (`ListedVectors`) by a
thread in the background; meanwhile, and if that fails, all are compared. When there are several times as many
as were divided, they are divided again.
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
from guardedit.memory.vectors.flat import Allowed, FlatVectors, Found, Numbers
from guardedit.memory.vectors.lists import ListedVectors, examples_for, recall

#: Most vectors that are all compared: 25 MB, which take about two milliseconds on one core.
FLAT = 2**14
#: How many times as many vectors there must be before they are divided again.
_GROWTH = 2
#: Vectors that are copied together while others wait.
_CHUNK = 4096
_LOG = logging.getLogger(__name__)


class _Done(NamedTuple):
    """A change during the division: vectors under numbers, or None where they were removed."""

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
        self._store: FlatVectors | ListedVectors = FlatVectors(dim)
        self._live = np.zeros(64, dtype=np.bool_)  # by number
        self._free: list[int] = []
        self._used = 0  # numbers below are live or free
        self._divided = 0  # number of vectors when they were divided
        self._filling = 0  # number of vectors that are expected while many are added
        self._changes: list[_Done] | None = None  # while a thread divides the vectors
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
            self._divide_if_many()
        return numbers

    def remove(self, numbers: Numbers) -> None:
        """Remove the vectors of these numbers."""
        with self._lock:
            self._store.remove(numbers)
            self._live[numbers] = False
            self._free += numbers.tolist()
            self._changed(_Done(numbers, None))

    def rows(self, numbers: Numbers) -> Vectors:
        """(n, dim) float32: the vectors of these numbers."""
        with self._lock:
            return self._store.rows(numbers)

    def search(self, vectors: Vectors, k: int, allowed: Allowed | None = None) -> Found:
        """The k nearest of (n, dim) vectors; `allowed` says by number which of them may be found."""
        with self._lock:
            if not len(vectors) or not len(self):
                empty = np.full((len(vectors), k), -np.inf, dtype=np.float32)
                return Found(empty, np.full((len(vectors), k), -1, dtype=np.int64))
            return self._store.search(vectors, min(k, len(self)), allowed)

    def recall(self, vectors: Vectors, k: int) -> float:
        """Share of the k nearest of (n, dim) vectors that `search` finds."""
        with self._lock:
            if isinstance(self._store, FlatVectors):
                return 1.0
            exact = self._store.search(vectors, k, probes=self._store.lists)
            return recall(self._store.search(vectors, k), exact)

    @contextmanager
    def filling(self, count: int) -> Iterator[None]:
        """A block that adds about `count` vectors: they are divided once, as soon as there are enough."""
        with self._lock:
            self._filling = len(self) + count
        try:
            yield
        finally:
            with self._lock:
                self._filling = 0
                if isinstance(self._store, ListedVectors):
                    self._divided = len(self)
                    self._store.tune(self._sample(len(self)))
                self._divide_if_many()

    def wait(self) -> None:
        """Wait until no thread divides the vectors."""
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

    def _divide_if_many(self) -> None:
        if self._changes is not None:
            return
        count, is_flat = len(self), isinstance(self._store, FlatVectors)
        if self._filling > self._most_flat:
            if is_flat and count >= examples_for(self._filling):
                self._store = self._listed(self._filling)
            return
        most = self._most_flat if is_flat else _GROWTH * self._divided
        if count > max(most, _GROWTH * self._divided):
            self._divided = count  # also after a failure: the next try is when there are many more
            self._changes = []
            self._thread = threading.Thread(target=self._divide, name="guardedit-index", daemon=True)
            self._thread.start()

    def _listed(self, count: int) -> ListedVectors:
        """Lists of all vectors, of which there will be `count`; not tuned."""
        examples = self._store.rows(self._sample(examples_for(count)))
        listed = ListedVectors(examples, count=count, seed=self._seed)
        numbers = np.flatnonzero(self._live)
        for start in range(0, len(numbers), _CHUNK):
            part = numbers[start : start + _CHUNK]
            listed.put(part, self._store.rows(part))
        return listed

    def _sample(self, count: int) -> Numbers:
        """At most `count` numbers in random order."""
        numbers = np.flatnonzero(self._live)
        return np.random.default_rng(self._seed).permutation(numbers)[:count]

    def _divide(self) -> None:
        """Divide the vectors, in the background: others may search and change them between two steps."""
        try:
            with self._lock:
                numbers, count = np.flatnonzero(self._live), len(self)
                examples = self._store.rows(self._sample(examples_for(count)))
            listed = ListedVectors(examples, count=count, seed=self._seed)
            for start in range(0, len(numbers), _CHUNK):
                with self._lock:
                    part = numbers[start : start + _CHUNK]
                    part = part[~np.isin(part, self._changed_numbers())]
                    vectors = self._store.rows(part)
                listed.put(part, vectors)
            with self._lock:
                tried = np.setdiff1d(self._sample(count), self._changed_numbers(), assume_unique=True)
            listed.tune(tried)
            with self._lock:
                for change in self._changes or ():
                    listed.remove(change.numbers)
                    if change.vectors is not None:
                        listed.put(change.numbers, change.vectors)
                self._store = listed
        except (MemoryIndexError, MemoryError) as error:
            _LOG.warning("%s vectors could not be divided into lists: %s; all are compared", len(self), error)
        finally:
            with self._lock:
                self._changes = None

    def _changed_numbers(self) -> Numbers:
        changes = self._changes or []
        return np.concatenate([np.zeros(0, dtype=np.int64), *(change.numbers for change in changes)])
