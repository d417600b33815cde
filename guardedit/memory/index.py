"""Vectors to facts: a FAISS index with several keys per fact. Knows ids and texts, not what they mean.

The index is a cache. Its file is believed only when its sha256 is the one its writer was told; FAISS
reads the bytes after that check, never before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import faiss
import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Vectors

T = TypeVar("T")

#: Deleted keys stay in FAISS until there are more than this and more than a quarter are deleted: taking keys
#: out costs as much for one as for all, since FAISS moves every row behind it.
KEPT_DELETED = 256


class Hit(NamedTuple):
    """A fact and the cosine of its best key."""

    fact_id: str
    cosine: float


class KeyIndex:
    """Exact inner-product search over the keys of facts; rows must have length 1."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._index: Any = _faiss(lambda: faiss.IndexIDMap2(faiss.IndexFlatIP(dim)))
        self._owner: dict[int, str] = {}  # key number -> fact id
        self._texts: dict[str, tuple[str, ...]] = {}  # fact id -> its keys' texts
        self._numbers: dict[str, list[int]] = {}  # fact id -> its key numbers
        self._deleted: list[int] = []  # key numbers that FAISS still holds
        self._next = 0

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, fact_id: object) -> bool:
        return fact_id in self._texts

    def add(self, fact_id: str, texts: Sequence[str], vectors: Vectors) -> None:
        """Put a fact's keys in, instead of those it had. `vectors` is (len(texts), dim).

        Raises:
            MemoryIndexError: wrong shape, or FAISS refused.
        """
        if vectors.shape != (len(texts), self._dim):
            raise MemoryIndexError(
                f"{len(texts)} keys need shape {(len(texts), self._dim)}, got {vectors.shape}"
            )
        self.delete(fact_id)
        numbers = list(range(self._next, self._next + len(texts)))
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        _faiss(lambda: self._index.add_with_ids(rows, np.asarray(numbers, dtype=np.int64)))
        self._next += len(texts)
        self._owner.update(dict.fromkeys(numbers, fact_id))
        self._texts[fact_id] = tuple(texts)
        self._numbers[fact_id] = numbers

    def delete(self, fact_id: str) -> None:
        """Take a fact's keys out; nothing happens where there are none."""
        numbers = self._numbers.pop(fact_id, None)
        if numbers is None:
            return
        del self._texts[fact_id]
        for number in numbers:
            del self._owner[number]
        self._deleted += numbers
        if len(self._deleted) > max(KEPT_DELETED, len(self._owner) // 3):
            self._purge()

    def search(self, vectors: Vectors, *, k_keys: int = 32) -> list[list[Hit]]:
        """Per row the distinct facts among the `k_keys` nearest keys, best first."""
        if not self._owner or not len(vectors):
            return [[] for _ in vectors]
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        wanted = min(k_keys, len(self._owner))
        cosines, numbers = _faiss(lambda: self._index.search(rows, wanted))
        if self._deleted and np.isin(numbers, self._deleted).any():
            # However many of them are near, so many live ones are behind them.
            cosines, numbers = _faiss(lambda: self._index.search(rows, wanted + len(self._deleted)))
        return [self._hits(c, n, wanted) for c, n in zip(cosines, numbers, strict=True)]

    def vectors(self, fact_id: str) -> Vectors:
        """(keys, dim) float32: the rows of one fact, in the order of its texts."""
        numbers = np.asarray(self._numbers[fact_id], dtype=np.int64)
        rows: Vectors = _faiss(lambda: self._index.reconstruct_batch(numbers))
        return rows

    def digest(self) -> str:
        """sha256 over fact ids and key texts; the order of arrival does not matter."""
        return content_sha256(self._texts)

    def save(self, path: Path) -> str:
        """Write aside, flush, rename; returns the sha256 that `load` will ask for.

        Raises:
            MemoryIndexError: the file cannot be written.
        """
        self._purge()
        head = {
            "dim": self._dim,
            "facts": [[fact_id, self._numbers[fact_id], texts] for fact_id, texts in self._texts.items()],
        }
        body = (
            json.dumps(head).encode() + b"\n" + _faiss(lambda: faiss.serialize_index(self._index)).tobytes()
        )
        aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with aside.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise MemoryIndexError(f"index file {path} cannot be written: {error}") from error
        finally:
            aside.unlink(missing_ok=True)
        return hashlib.sha256(body).hexdigest()

    @staticmethod
    def load(path: Path, *, sha256: str) -> KeyIndex:
        """Read what `save` wrote.

        Raises:
            MemoryIndexError: unreadable, or not the bytes that were saved; rebuild the memory then.
        """
        try:
            body = path.read_bytes()
        except OSError as error:
            raise MemoryIndexError(f"index file {path} cannot be read ({error}): rebuild it") from error
        found = hashlib.sha256(body).hexdigest()
        if found != sha256:
            raise MemoryIndexError(f"index file {path} has sha256 {found}, expected {sha256}: rebuild it")
        head, _, rest = body.partition(b"\n")
        try:
            fields = json.loads(head)
            index = KeyIndex(fields["dim"])
            index._keep(fields["facts"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MemoryIndexError(
                f"index file {path} has no readable head ({error!r}): rebuild it"
            ) from error
        index._index = _faiss(lambda: faiss.deserialize_index(np.frombuffer(rest, dtype=np.uint8)))
        return index

    def _keep(self, facts: Sequence[tuple[str, list[int], list[str]]]) -> None:
        for fact_id, numbers, texts in facts:
            self._texts[fact_id] = tuple(texts)
            self._numbers[fact_id] = numbers
            self._owner.update(dict.fromkeys(numbers, fact_id))
            self._next = max(self._next, *(number + 1 for number in numbers))

    def _purge(self) -> None:
        """Take what was deleted out of FAISS."""
        if self._deleted:
            gone = np.asarray(self._deleted, dtype=np.int64)
            _faiss(lambda: self._index.remove_ids(gone))
            self._deleted = []

    def _hits(self, cosines: Vectors, numbers: Any, wanted: int) -> list[Hit]:
        live = [(n, c) for n, c in zip(numbers.tolist(), cosines.tolist(), strict=True) if n in self._owner]
        best: dict[str, float] = {}
        for number, cosine in live[:wanted]:
            best.setdefault(self._owner[number], cosine)
        return [Hit(fact_id, cosine) for fact_id, cosine in best.items()]


def content_sha256(texts: dict[str, tuple[str, ...]]) -> str:
    """Digest of fact ids and their texts, whatever their order."""
    rows = sorted([fact_id, *keys] for fact_id, keys in texts.items())
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _faiss(call: Callable[[], T]) -> T:
    """Run a FAISS call; its errors leave as ours."""
    try:
        return call()
    except (RuntimeError, AssertionError, ValueError, TypeError, MemoryError) as error:
        raise MemoryIndexError(f"FAISS failed: {error}; rebuild the memory from the ledger") from error
