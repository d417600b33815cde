"""The measurement of the memory at small sizes, and what it is measured with."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from guardedit.lab.memory_scale import measure
from guardedit.lab.memory_scale.measure import measure_memory
from guardedit.lab.memory_scale.picture import draw_memory
from guardedit.lab.memory_scale.synthetic import (
    WordModel,
    fact,
    named_question,
    subject,
    unnamed_question,
)
from guardedit.lab.memory_scale.timing import TimedModel
from guardedit.memory.encoder import SentenceEncoder
from guardedit.naming import name_of


def test_every_number_has_a_subject_of_its_own():
    names = [subject(number) for number in range(200_000)]
    assert len(set(names)) == len(names)


def test_a_named_question_names_its_subject_and_an_unnamed_one_names_none():
    names = {name_of(subject(number)) for number in range(3_000)}
    for number in range(0, 3_000, 100):
        assert subject(number) in named_question(number)
        words = name_of(unnamed_question(number))
        assert not names & set(itertools.pairwise(words))


def test_vectors_depend_on_the_text_alone_and_common_words_make_them_similar():
    texts = [fact(0).prompt, fact(40).prompt, "something else", ""]
    rows = WordModel().encode(texts)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows[[2, 0]], WordModel().encode([texts[2], texts[0]]), atol=1e-6)
    assert rows[0] @ rows[1] > 0.3 > rows[0] @ rows[2]


def test_the_time_and_the_texts_of_an_encoder_are_counted():
    timed = TimedModel(WordModel())
    timed.encode(["a", "b"])
    timed.calls = []
    timed.encode(["c"])
    assert (timed.texts, timed.calls) == (3, [["c"]])
    assert timed.seconds > 0


@pytest.mark.parametrize("most_in_ledger", [1_000, 10])
def test_every_number_is_measured(tmp_path, monkeypatch, most_in_ledger):
    monkeypatch.setattr(measure, "MOST_IN_LEDGER", most_in_ledger)
    real = SentenceEncoder(WordModel(), sha256="x")
    found = measure_memory(150, real, encoded=0, questions=64, published=3)
    assert (found.facts, found.encoder) == (150, "words")
    assert math.isnan(found.commit_p50_ms) == (most_in_ledger < 150)
    assert 0 < found.named_p50_ms <= found.named_p99_ms < found.with_encoder_p99_ms + found.named_p99_ms
    assert found.publish_p50_ms > 0
    assert 0 < found.batched_with_encoder_per_s < found.batched_per_s
    draw_memory(tmp_path / "memory.png", [found])
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
