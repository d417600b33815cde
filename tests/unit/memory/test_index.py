"""The FAISS index: several keys per fact, and deletion."""

from __future__ import annotations

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
        filled.add(fact_id, rows(n, 3))
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
    index.add("b", rows(9, 1))
    assert index.search(rows(9, 1))[0][0].fact_id == "b"


def test_adding_again_replaces_the_keys(index):
    index.add("a", rows(7, 1))
    assert index.vectors("a").shape == (1, DIM)
    assert len(index) == 3


def test_an_empty_index_finds_nothing():
    assert KeyIndex(DIM).search(rows(0, 2)) == [[], []]


@pytest.mark.parametrize("shape", [(2, DIM + 1), (DIM,)])
def test_keys_of_a_wrong_shape_are_refused(index, shape: tuple[int, ...]):
    with pytest.raises(MemoryIndexError, match=r"the keys of fact z have shape .*, expected \(keys, 8\)"):
        index.add("z", np.zeros(shape, dtype=np.float32))


def test_many_deleted_keys_near_the_question_hide_no_live_one():
    index = KeyIndex(DIM)
    near, away = rows(1, 1), rows(2, 1)
    for n in range(400):
        index.add(f"near{n}", near)
    index.add("away", away)
    for n in range(400):
        index.delete(f"near{n}")
        if n in (50, 200, 399):
            hits = index.search(near, k_keys=4)[0]
            assert len(hits) == min(4, 400 - n)
            assert all(hit.fact_id in index for hit in hits)
    assert [hit.fact_id for hit in index.search(near)[0]] == ["away"]
