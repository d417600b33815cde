"""Vectors on the disk: found again, never wrong, whatever happens to the file."""

from __future__ import annotations

import logging
import os
import random
import signal
import sqlite3
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from guardedit.memory.vectors.kept import KeepingEncoder, KeptVectors

DIM = 16


class Hashed:
    """Vectors that depend on the text alone; counts the texts."""

    dim, sha256 = DIM, "hashed"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts):
        self.encoded += texts
        return np.stack([vector_of(text) for text in texts])


def vector_of(text: str) -> np.ndarray:
    row = (
        np.random.default_rng(zlib.crc32(text.encode("utf-8", "surrogatepass")))
        .standard_normal(DIM)
        .astype(np.float32)
    )
    return row / np.linalg.norm(row)


def kept_in(folder: Path, *, sha256: str = "hashed", **more: int) -> KeptVectors:
    return KeptVectors(folder / "vectors.db", encoder_sha256=sha256, dim=DIM, **more)


TEXTS = [f"text number {n}" for n in range(300)]


def fill(folder: Path, texts: list[str] = TEXTS) -> None:
    kept = kept_in(folder)
    kept.put({text: vector_of(text) for text in texts})
    kept.close()


def test_a_text_is_encoded_once_whatever_is_restarted(tmp_path):
    first = Hashed()
    rows = KeepingEncoder(first, kept_in(tmp_path)).encode(["a", "b", "a", "\udcf8 no text"])
    again = Hashed()
    found = KeepingEncoder(again, kept_in(tmp_path)).encode(["b", "c", "a", "\udcf8 no text"])
    assert (first.encoded, again.encoded) == (["a", "b", "\udcf8 no text"], ["c"])
    assert np.array_equal(found[[2, 0]], rows[:2])  # bit for bit
    assert KeepingEncoder(again, kept_in(tmp_path)).encode(["c"]).dtype == np.float32


def test_a_flipped_bit_is_never_used(tmp_path, caplog):
    """Every byte of the file in turn is too slow; 150 of them, in every region."""
    fill(tmp_path)
    path = tmp_path / "vectors.db"
    whole, rng = path.read_bytes(), random.Random(0)
    lost = 0
    for _ in range(150):
        body = bytearray(whole)
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(body))
        kept = kept_in(tmp_path)
        with caplog.at_level(logging.ERROR):
            found = kept.get(TEXTS)
            assert all(np.array_equal(found[text], vector_of(text)) for text in found)
            encoder = Hashed()
            rows = KeepingEncoder(encoder, kept).encode(TEXTS)
        assert np.array_equal(rows, np.stack([vector_of(text) for text in TEXTS]))
        lost += bool(encoder.encoded)
        kept.close()
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    assert 50 < lost <= 150  # most of the file are vectors


def test_a_flipped_bit_in_a_vector_costs_one_text_and_one_line(tmp_path, caplog):
    fill(tmp_path)
    with sqlite3.connect(tmp_path / "vectors.db") as connection:
        row = bytearray(connection.execute("SELECT vector FROM vectors WHERE id = 5").fetchone()[0])
        row[3] ^= 16
        connection.execute("UPDATE vectors SET vector = ? WHERE id = 5", (bytes(row),))
    connection.close()
    encoder = Hashed()
    kept = kept_in(tmp_path)
    assert np.array_equal(KeepingEncoder(encoder, kept).encode(TEXTS)[4], vector_of(TEXTS[4]))
    assert encoder.encoded == [TEXTS[4]]
    assert [line.getMessage() for line in caplog.records] == [
        f"{tmp_path}/vectors.db: 1 of 300 vectors are damaged; their texts are encoded again"
    ]
    KeepingEncoder(encoder, kept).encode(TEXTS)
    assert encoder.encoded == [TEXTS[4]]  # mended


def test_a_file_that_is_no_database_is_replaced(tmp_path, caplog):
    (tmp_path / "vectors.db").write_bytes(b"not SQLite at all" * 100)
    encoder = Hashed()
    KeepingEncoder(encoder, kept_in(tmp_path)).encode(["a"])
    again = Hashed()
    KeepingEncoder(again, kept_in(tmp_path)).encode(["a"])
    assert (encoder.encoded, again.encoded) == (["a"], [])
    assert "is damaged" in caplog.text


def test_vectors_of_another_encoder_are_not_found_and_a_line_says_so(tmp_path, caplog):
    fill(tmp_path)
    other = kept_in(tmp_path, sha256="another")
    assert other.get(TEXTS) == {}
    assert [line.getMessage() for line in caplog.records] == [
        (
            f"{tmp_path}/vectors.db: the vectors are of encoder hashed, this one is another; "
            "all texts are encoded again"
        )
    ]
    assert len(kept_in(tmp_path).get(TEXTS)) == 300


def test_the_file_does_not_grow_without_end(tmp_path):
    kept = kept_in(tmp_path, most_bytes=100 * 4 * DIM)
    for start in range(0, 300, 50):
        kept.put({text: vector_of(text) for text in TEXTS[start : start + 50]})
    assert sorted(kept.get(TEXTS), key=TEXTS.index) == TEXTS[200:]


def test_without_a_folder_or_a_writable_one_all_texts_are_encoded(tmp_path, caplog, monkeypatch):
    encoder = Hashed()
    KeepingEncoder(encoder, kept_in(tmp_path / "none")).encode(["a"])
    assert not (tmp_path / "none").exists()

    def refuses(*_, **__):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuses)
    keeping = KeepingEncoder(encoder, kept_in(tmp_path))
    keeping.encode(["a"])
    keeping.encode(["b"])
    assert encoder.encoded == ["a", "a", "b"]
    assert [line.getMessage() for line in caplog.records] == [
        (
            f"{tmp_path}/vectors.db cannot be used (unable to open database file): "
            "texts are encoded at every start"
        )
    ]


@pytest.mark.parametrize("turn", range(3))
def test_a_process_killed_in_the_middle_of_a_write_leaves_whole_vectors(tmp_path, turn):
    child = os.fork()
    if not child:  # writes without end
        kept, n = kept_in(tmp_path), 0
        while True:
            kept.put({f"{n} {k}": vector_of(f"{n} {k}") for k in range(200)})
            n += 1
    try:
        until = time.monotonic() + 20
        while not (tmp_path / "vectors.db-wal").exists() and time.monotonic() < until:
            time.sleep(0.002)
        while len(kept_in(tmp_path).get(["0 0", "1 0"])) < 2 and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(0.005 * turn)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    kept = kept_in(tmp_path)
    batches = 0
    for n in range(10_000):
        texts = [f"{n} {k}" for k in range(200)]
        found = kept.get(texts)
        assert len(found) in {0, 200}  # all of a batch or none
        assert all(np.array_equal(found[text], vector_of(text)) for text in found)
        if not found:
            break
        batches += 1
    assert batches >= 2
    kept.put({"after": vector_of("after")})
    assert list(kept_in(tmp_path).get(["after"])) == ["after"]
