"""Vectors of texts, kept on the disk, so that a restart does not encode the texts of all facts again.

A cache in one SQLite file: nothing is lost with it. Every vector has a checksum over its key and its numbers,
so a vector that the disk or a crash has changed is encoded again instead of being used. Several processes may
use the file at the same time. If it cannot be used, all texts are encoded as without it.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from guardedit.memory.encoder import Encoder, Vectors

#: Most bytes of vectors in the file; beyond, the oldest are dropped. At 384 numbers each, 2.7 million texts.
MOST_BYTES = 2**32
#: Seconds to wait for another process that writes.
_BUSY_S = 2.0
#: Keys in one query. SQLite allows more.
_TOGETHER = 500
_LOG = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors
    (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, sum BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS encoder (one INTEGER PRIMARY KEY CHECK (one = 1), sha256 TEXT NOT NULL);
"""


class KeptVectors:
    """The file with the vectors that one encoder made. Thread-safe; opened when it is first needed.

    Args:
        path: the file. It is made only in a folder that exists.
        encoder_sha256: of the encoder. Vectors of another one are never found.
        dim: length of a vector.
        most_bytes: most bytes of vectors.
    """

    def __init__(self, path: Path, *, encoder_sha256: str, dim: int, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._encoder, self._dim = path, encoder_sha256, dim
        self._most = max(1, most_bytes // (4 * dim))
        self._connection: sqlite3.Connection | None = None
        self._is_off = False
        self._lock = threading.Lock()

    def get(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """Text -> its (dim,) vector, for the texts whose vectors are kept unchanged."""
        keys = {self._key(text): text for text in texts}
        found: dict[str, Vectors] = {}
        damaged: list[bytes] = []
        with self._lock:
            try:
                for key, vector, total in self._rows(keys):
                    if len(vector) == 4 * self._dim and total == _sum(key, vector):
                        found[keys[key]] = np.frombuffer(vector, dtype="<f4")
                    else:
                        damaged.append(key)
                self._drop(damaged)
            except sqlite3.Error as error:
                self._failed(error)
        if damaged:
            _LOG.warning(
                "%s: %d of %d vectors are damaged; their texts are encoded again",
                self._path,
                len(damaged),
                len(keys),
            )
        return found

    def put(self, rows: Mapping[str, Vectors]) -> None:
        """Keep the (dim,) vectors of texts, all of them or none."""
        new = []
        for text, row in rows.items():
            key, vector = self._key(text), np.ascontiguousarray(row, dtype="<f4").tobytes()
            new.append((key, vector, _sum(key, vector)))
        with self._lock:
            try:
                connection = self._opened()
                if connection is None:
                    return
                with connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO vectors (key, vector, sum) VALUES (?, ?, ?)", new
                    )
                    connection.execute(
                        "DELETE FROM vectors WHERE id <= (SELECT max(id) FROM vectors) - ?", (self._most,)
                    )
            except sqlite3.Error as error:
                self._failed(error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _key(self, text: str) -> bytes:
        body = f"{self._encoder}\n{text}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(body).digest()[:20]

    def _rows(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
        connection = self._opened()
        if connection is None:
            return
        wanted = list(keys)
        for start in range(0, len(wanted), _TOGETHER):
            some = wanted[start : start + _TOGETHER]
            marks = ",".join("?" * len(some))
            yield from connection.execute(
                f"SELECT key, vector, sum FROM vectors WHERE key IN ({marks})",  # noqa: S608 - marks alone
                some,
            )

    def _drop(self, keys: Sequence[bytes]) -> None:
        if self._connection is not None and keys:
            with self._connection:
                self._connection.executemany("DELETE FROM vectors WHERE key = ?", [(key,) for key in keys])

    def _opened(self) -> sqlite3.Connection | None:
        """The open file; None if it cannot be used, or if there is no folder for it yet."""
        if self._connection is None and not self._is_off and self._path.parent.is_dir():
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level="IMMEDIATE", check_same_thread=False
            )
            self._connection = connection
            # A commit may be lost with the power, but none is ever half written.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            self._note_encoder(connection)
        return self._connection

    def _note_encoder(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT sha256 FROM encoder").fetchone()
        if row is not None and row[0] == self._encoder:
            return
        if row is not None:
            _LOG.warning(
                "%s: the vectors are of encoder %.12s, this one is %.12s; all texts are encoded again",
                self._path,
                row[0],
                self._encoder,
            )
        with connection:
            connection.execute("INSERT OR REPLACE INTO encoder VALUES (1, ?)", (self._encoder,))

    def _failed(self, error: sqlite3.Error) -> None:
        """Go on without the file; with a new one if the old one is damaged."""
        self._close()
        if type(error) is sqlite3.DatabaseError:  # damaged, or no database
            _LOG.warning("%s is damaged (%s): its texts are encoded again", self._path, error)
            for end in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)
            return
        if not self._is_off:
            self._is_off = True
            _LOG.warning("%s cannot be used (%s): texts are encoded at every start", self._path, error)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class KeepingEncoder:
    """An encoder that looks up vectors in a file before it encodes, and keeps the new ones there.

    For the texts of facts: they are encoded again at every start. Questions need no such encoder.
    """

    def __init__(self, encoder: Encoder, kept: KeptVectors) -> None:
        self._encoder, self._kept = encoder, kept

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._encoder.dim

    @property
    def sha256(self) -> str:
        """Digest of the encoder's weights."""
        return self._encoder.sha256

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of n texts: (n, dim) float32, each row of norm 1."""
        found = self._kept.get(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            new = dict(zip(missing, self._encoder.encode(missing), strict=True))
            self._kept.put(new)
            found |= new
        return np.stack([found[text] for text in texts]) if texts else self._encoder.encode(texts)


def _sum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()
