"""Numbered vectors in inverted lists: a search reads only the lists that are nearest to the question.

FAISS's IVF index. Each vector is in the list of its nearest centroid, in half precision: a cosine is right to
about 1e-5. How many lists a search reads is set by measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import faiss
import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors
from guardedit.memory.vectors.flat import Allowed, Found, Numbers

T = TypeVar("T")

#: Vectors for each centroid when the centroids are computed, and steps of that computation.
_EXAMPLES, _STEPS = 40, 8
#: Wanted share of the `_NEAREST` nearest vectors that a search finds, and questions to measure it with.
#: It is above .99, because it is measured on a sample.
_WANTED, _NEAREST, _TRIES = 0.995, 8, 128
#: Lists that are read to find a vector near another one.
_FIRST_PROBES = 16
#: Cosines that differ by less are equal: two stored texts can have the same words.
_EQUAL = 1e-4


def lists_for(count: int) -> int:
    """How many lists so many vectors are divided into: a search reads about as many centroids as vectors."""
    return max(1, math.isqrt(count))


def examples_for(count: int) -> int:
    """How many vectors the centroids of so many vectors are computed from."""
    return min(count, _EXAMPLES * lists_for(count))


class ListedVectors:
    """Vectors by number, in the lists of centroids that were computed from examples.

    Args:
        examples: (n, dim) vectors like those that will be stored.
        count: number of vectors that are expected.
        seed: of the computation of centroids.
    """

    def __init__(self, examples: Vectors, *, count: int, seed: int) -> None:
        self.lists = min(lists_for(count), len(examples))
        self.probes = self.lists  # read by a search
        self._index: Any = _faiss(lambda: self._made(examples, seed))

    def _made(self, examples: Vectors, seed: int) -> Any:
        dim = examples.shape[1]
        index: Any = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim),
            dim,
            self.lists,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,  # noqa: FBT003 - by_residual; FAISS takes it by position
        )
        index.cp.niter, index.cp.seed, index.cp.spherical = _STEPS, seed, True
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _EXAMPLES
        index.train(np.ascontiguousarray(examples))
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        return index

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        """Store (n, dim) vectors under numbers that are not in use."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        _faiss(lambda: self._index.add_with_ids(rows, numbers))

    def remove(self, numbers: Numbers) -> None:
        """Remove the vectors of these numbers; numbers that are not in use are ignored."""
        _faiss(lambda: self._index.remove_ids(numbers))

    def rows(self, numbers: Numbers) -> Vectors:
        """(n, dim) float32: the vectors of numbers that are in use."""
        rows: Vectors = _faiss(lambda: self._index.reconstruct_batch(numbers))
        return rows

    def search(
        self, vectors: Vectors, k: int, allowed: Allowed | None = None, *, probes: int | None = None
    ) -> Found:
        """The k nearest of (n, dim) vectors in the nearest `probes` lists; default: as measured."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        options = faiss.SearchParametersIVF(
            nprobe=probes or self.probes, sel=None if bits is None else faiss.IDSelectorBitmap(bits)
        )
        cosines, numbers = _faiss(lambda: self._index.search(rows, k, params=options))
        cosines[numbers < 0] = -np.inf
        return Found(cosines, numbers)

    def tune(self, numbers: Numbers) -> float:
        """Set how many lists a search reads: as few as find `_WANTED` of the nearest vectors.

        Each question lies between one of the vectors `numbers` and another one near it: like a question of a
        user, it is similar to what is stored, and not stored itself. Returns the share that was reached.
        """
        rows = self.rows(numbers[:_TRIES])
        near = self.search(rows, _NEAREST, probes=min(_FIRST_PROBES, self.lists)).numbers
        rows = rows + self.rows(near[np.arange(len(rows)), (near >= 0).sum(axis=1) - 1])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        exact = self.search(rows, _NEAREST, probes=self.lists)
        share, probes = 1.0, 1
        while probes < self.lists:
            share = recall(self.search(rows, _NEAREST, probes=probes), exact)
            if share >= _WANTED:
                break
            probes *= 2
        self.probes = min(probes, self.lists)
        return share


def recall(found: Found, exact: Found) -> float:
    """Share of the exactly nearest vectors that were found; one that is as near counts too."""
    wanted, got = exact.cosines, found.cosines
    there = np.isfinite(wanted)
    return float((got >= wanted - _EQUAL)[there].mean()) if there.any() else 1.0


def _faiss(call: Callable[[], T]) -> T:
    """Run a FAISS call and convert its errors to MemoryIndexError."""
    try:
        return call()
    except (RuntimeError, AssertionError, ValueError, TypeError, MemoryError) as error:
        raise MemoryIndexError(f"FAISS failed: {error}; rebuild the memory from the ledger") from error
