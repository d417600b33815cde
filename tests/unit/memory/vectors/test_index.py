"""Vectors come and go, few and many; a search always finds the live ones."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.vectors import VectorIndex
from guardedit.memory.vectors import index as index_module
from guardedit.memory.vectors.graph import GraphVectors

DIM = 24


def rows(seed: int, n: int, centres: int = 40) -> np.ndarray:
    """Unit vectors around some centres, as those of texts are around their relations."""
    rng = np.random.default_rng(seed)
    near = np.random.default_rng(99).standard_normal((centres, DIM))[rng.integers(0, centres, n)]
    found = (near + 0.6 * rng.standard_normal((n, DIM))).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Model:
    """What an index should contain, in a dictionary."""

    def __init__(self, index: VectorIndex) -> None:
        self.index, self.rows = index, {}

    def add(self, vectors: np.ndarray) -> None:
        for number, row in zip(self.index.add(vectors).tolist(), vectors, strict=True):
            assert number not in self.rows
            self.rows[number] = row

    def remove(self, rng: np.random.Generator, count: int) -> None:
        gone = rng.choice(sorted(self.rows), count, replace=False)
        self.index.remove(gone)
        for number in gone.tolist():
            del self.rows[number]

    def nearest(self, vector: np.ndarray, k: int) -> list[float]:
        return sorted((float(row @ vector) for row in self.rows.values()), reverse=True)[:k]

    def check(self, seed: int, *, share: float) -> None:
        assert len(self.index) == len(self.rows)
        questions, hits, wanted = rows(seed, 30), 0, 0
        found = self.index.search(questions, 8)
        for vector, cosines, numbers in zip(questions, found.cosines, found.numbers, strict=True):
            live = numbers[numbers >= 0].tolist()
            assert len(set(live)) == len(live) == min(8, len(self.rows))
            assert [float(self.rows[n] @ vector) for n in live] == pytest.approx(
                cosines[numbers >= 0].tolist(), abs=1e-3
            )
            assert sorted(live, key=lambda n: -cosines[numbers.tolist().index(n)]) == live
            exact = self.nearest(vector, 8)
            hits += sum(got >= want - 1e-3 for got, want in zip(cosines, exact, strict=False))
            wanted += len(exact)
        assert hits >= share * wanted
        some = np.asarray(sorted(self.rows)[::7], dtype=np.int64)
        assert np.allclose(self.index.rows(some), [self.rows[n] for n in some.tolist()], atol=1e-3)


def test_few_vectors_are_all_compared_whatever_comes_and_goes():
    rng, model = np.random.default_rng(0), Model(VectorIndex(DIM))
    for step in range(40):
        model.add(rows(step, int(rng.integers(1, 30))))
        model.remove(rng, int(rng.integers(0, len(model.rows))))
        model.check(100 + step, share=1.0)
    assert model.index.is_exact


def test_many_vectors_are_in_a_graph_and_come_and_go_as_before():
    rng, model = np.random.default_rng(1), Model(VectorIndex(DIM, flat=500))
    for step in range(12):
        model.add(rows(step, 400))
        model.remove(rng, 150)
        model.index.wait()
        model.check(200 + step, share=0.97)
    assert not model.index.is_exact


def test_what_changes_while_a_graph_is_made_is_not_lost(monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(GraphVectors):
        def tune(self, numbers):
            begun.set()
            assert go_on.wait(20)
            return super().tune(numbers)

    monkeypatch.setattr(index_module, "GraphVectors", Slow)
    rng, model = np.random.default_rng(2), Model(VectorIndex(DIM, flat=300))
    model.add(rows(1, 600))
    assert begun.wait(20)
    for step in range(5):  # numbers are removed, and used again for other vectors
        model.remove(rng, 90)
        model.add(rows(50 + step, 70))
        model.check(300 + step, share=1.0)  # all are compared meanwhile
    go_on.set()
    model.index.wait()
    assert not model.index.is_exact
    model.check(400, share=0.97)


def test_many_that_are_added_together_are_in_a_graph_at_once():
    model = Model(VectorIndex(DIM, flat=500))
    with model.index.filling(6_000):
        for step in range(12):
            model.add(rows(step, 500))
    assert not model.index.is_exact
    model.check(500, share=0.97)
    with model.index.filling(10):  # far fewer than expected is no problem
        model.add(rows(77, 3))
    model.check(501, share=0.97)


def test_a_search_can_be_limited_to_some_numbers():
    for flat in (10_000, 300):
        index = VectorIndex(DIM, flat=flat)
        numbers = index.add(rows(0, 1_000))
        index.wait()
        allowed = np.zeros(2_000, dtype=np.bool_)
        allowed[numbers[::50]] = True
        found = index.search(rows(1, 5), 4, allowed)
        there = found.numbers[found.numbers >= 0]
        assert len(there)
        assert set(there.tolist()) <= set(numbers[::50].tolist())
        assert index.search(rows(1, 1), 4, np.zeros(2_000, dtype=np.bool_)).numbers.tolist() == [[-1] * 4]


def test_if_the_graph_fails_all_are_compared_and_a_line_says_so(monkeypatch, caplog):
    def fails(*_, **__):
        raise MemoryIndexError("no room")

    monkeypatch.setattr(GraphVectors, "put", fails)
    model = Model(VectorIndex(DIM, flat=100))
    with caplog.at_level(logging.WARNING):
        model.add(rows(0, 200))
        model.index.wait()
    assert "a graph of 200 vectors cannot be made: no room; the search goes on as before" in caplog.text
    model.check(1, share=1.0)


def test_an_empty_index_finds_nothing():
    found = VectorIndex(DIM).search(rows(0, 2), 3)
    assert found.numbers.tolist() == [[-1] * 3] * 2
    index = VectorIndex(DIM)
    index.remove(index.add(rows(0, 5)))
    assert len(index) == 0
    assert index.search(rows(0, 1), 3).numbers.tolist() == [[-1] * 3]
    assert index.recall(rows(0, 1), 3) == 1.0


def test_the_recall_of_a_graph_is_measured_against_all_vectors():
    index = VectorIndex(DIM, flat=300)
    index.add(rows(0, 4_000))
    index.wait()
    assert 0.97 <= index.recall(rows(1, 100), 8) <= 1.0
    index._store.breadth = 1
    assert index.recall(rows(1, 100), 8) < 0.97


def test_a_new_graph_is_made_when_many_of_its_vectors_were_removed():
    rng, model = np.random.default_rng(3), Model(VectorIndex(DIM, flat=300))
    model.add(rows(0, 1_500))
    model.index.wait()
    first = model.index._store
    model.remove(rng, 200)
    assert model.index._store is first
    model.remove(rng, 600)
    model.index.wait()
    assert model.index._store is not first
    assert model.index._store.removed == 0
    model.check(5, share=0.97)


def test_a_flood_of_equal_vectors_hides_no_other():
    model = Model(VectorIndex(DIM, flat=300))
    model.add(np.repeat(rows(1, 1), 3_000, axis=0))
    model.index.wait()
    model.add(rows(2, 300))
    model.check(6, share=0.97)
