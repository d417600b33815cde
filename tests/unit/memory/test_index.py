"""The FAISS index: several keys a fact, deletion, digests, and files that cannot be trusted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.index import KeyIndex

DIM = 8


def rows(seed: int, n: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def index() -> KeyIndex:
    filled = KeyIndex(DIM)
    for n, fact_id in enumerate(["a", "b", "c"]):
        filled.add(fact_id, [f"{fact_id}{i}" for i in range(3)], rows(n, 3))
    return filled


def test_search_gives_each_fact_once_with_its_best_key(index):
    query = rows(1, 3)[2:]
    (hits,) = index.search(query)
    assert hits[0].fact_id == "b"
    assert hits[0].cosine == pytest.approx(1, abs=1e-5)
    assert sorted(hit.fact_id for hit in hits) == ["a", "b", "c"]
    every = {name: (index.vectors(name) @ query[0]).max() for name in "abc"}
    assert {hit.fact_id: hit.cosine for hit in hits} == pytest.approx(every, abs=1e-5)


def test_a_deleted_fact_is_not_found_and_can_come_back(index):
    index.delete("b")
    index.delete("b")
    assert "b" not in index
    assert {hit.fact_id for hit in index.search(rows(1, 1))[0]} == {"a", "c"}
    index.add("b", ["new"], rows(9, 1))
    assert index.search(rows(9, 1))[0][0].fact_id == "b"


def test_adding_again_replaces_the_keys(index):
    index.add("a", ["only"], rows(7, 1))
    assert index.vectors("a").shape == (1, DIM)
    assert len(index) == 3


def test_the_digest_is_about_content_and_not_about_order(index):
    other = KeyIndex(DIM)
    for n, fact_id in reversed(list(enumerate(["a", "b", "c"]))):
        other.add(fact_id, [f"{fact_id}{i}" for i in range(3)], rows(n, 3))
    assert other.digest() == index.digest()
    other.add("c", ["changed"], rows(2, 1))
    assert other.digest() != index.digest()


def test_a_saved_index_comes_back_whole_and_can_grow(index, tmp_path: Path):
    path = tmp_path / "keys.faiss"
    again = KeyIndex.load(path, sha256=index.save(path))
    assert again.digest() == index.digest()
    assert again.search(rows(1, 3)) == index.search(rows(1, 3))
    again.add("d", ["d0"], rows(11, 1))
    assert again.search(rows(11, 1))[0][0].fact_id == "d"
    assert len(again.search(rows(0, 1))[0]) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["keys.faiss"]


def test_an_empty_index_can_be_saved_and_searched(tmp_path: Path):
    path = tmp_path / "keys.faiss"
    again = KeyIndex.load(path, sha256=KeyIndex(DIM).save(path))
    assert again.search(rows(0, 2)) == [[], []]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_bit_is_noticed_before_faiss_reads(index, tmp_path: Path, place: int):
    path = tmp_path / "keys.faiss"
    digest = index.save(path)
    body = bytearray(path.read_bytes())
    body[place] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(MemoryIndexError, match="rebuild"):
        KeyIndex.load(path, sha256=digest)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"not json\n", json.dumps({"dim": 8, "facts": []}).encode() + b"\njunk"]
)
def test_nonsense_with_the_right_hash_is_still_our_error(tmp_path: Path, body: bytes):
    path = tmp_path / "keys.faiss"
    path.write_bytes(body)
    with pytest.raises(MemoryIndexError):
        KeyIndex.load(path, sha256=hashlib.sha256(body).hexdigest())


def test_a_missing_file_and_a_wrong_shape_are_named(index, tmp_path: Path):
    with pytest.raises(MemoryIndexError, match="cannot be read"):
        KeyIndex.load(tmp_path / "none", sha256="0" * 64)
    with pytest.raises(MemoryIndexError, match="need shape"):
        index.add("z", ["one", "two"], rows(0, 1))
    with pytest.raises(MemoryIndexError, match="cannot be written"):
        index.save(tmp_path / "no" / "such" / "folder")


def test_many_deleted_keys_near_the_question_hide_no_live_one():
    index = KeyIndex(DIM)
    near, away = rows(1, 1), rows(2, 1)
    for n in range(400):
        index.add(f"near{n}", ["key"], near)
    index.add("away", ["key"], away)
    for n in range(400):
        index.delete(f"near{n}")
        if n in (50, 200, 399):
            hits = index.search(near, k_keys=4)[0]
            assert len(hits) == min(4, 400 - n)
            assert all(hit.fact_id in index for hit in hits)
    assert [hit.fact_id for hit in index.search(near)[0]] == ["away"]
