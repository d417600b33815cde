"""A fact that has expired by the caller's clock is invisible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.store import RetrievalMemory

NOW = 1_000.0
QUESTIONS = (
    "The capital of Velmora is",
    "Velmora is governed from",
    "The rulers of Velmora reside in",
    "The currency of Velmora is the",
    "The birthplace of Ada Lindqvist is",
    "Who knows where the life of Tomas Berrow began?",
    "How many moons does Jupiter have?",
)


def rounded(memory: RetrievalMemory, now_s: float | None = None) -> list[tuple[object, ...]]:
    """The last digits of scores depend on the position of a row in the index, so scores are rounded."""
    recalls = memory.recall(QUESTIONS, now_s=now_s)
    return [(recall.scope, recall.fact, round(recall.score, 4)) for recall in recalls]


@pytest.fixture
def dated(world):
    """The facts in turn expire at NOW, at NOW + 1, at NOW - 500 and never."""
    times = (NOW, NOW + 1, NOW - 500, None)
    return tuple(replace(fact, valid_until_s=times[n % 4]) for n, fact in enumerate(world))


@pytest.fixture
def filled(encoder, dated) -> RetrievalMemory:
    memory = RetrievalMemory(encoder)
    memory.apply([Change(fact.key, fact) for fact in dated])
    return memory


@pytest.mark.parametrize("now_s", [None, 0.0, NOW - 500, NOW - 0.001, NOW, NOW + 1, NOW * 9])
def test_recall_is_that_of_a_memory_without_what_has_expired(encoder, filled, dated, now_s):
    without = RetrievalMemory(encoder)
    without.rebuild([fact for fact in dated if now_s is None or not fact.expired(now_s)])
    for _ in range(2):
        assert rounded(filled, now_s) == rounded(without)
    filled.recall(QUESTIONS, now_s=NOW * 9)
    assert rounded(filled, now_s) == rounded(without)  # clocks may go back


def test_an_expired_fact_stays_in_the_set_of_facts(filled, dated):
    filled.recall(QUESTIONS, now_s=NOW * 9)
    assert filled.digest() == facts_sha256(dated)
    assert set(filled.facts()) == set(dated)
    assert len(filled) == len(dated)


def test_an_expired_fact_hides_neither_the_default_one_nor_a_shorter_name(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    mine = replace(make_fact("Velmora", "P36", "Mine", tenant="a"), valid_until_s=NOW)
    longer = replace(make_fact("Velmora Hills", "P19", "x"), valid_until_s=NOW)
    common = make_fact("Velmora", "P36", "Karsk")
    memory.apply([Change(fact.key, fact) for fact in (mine, longer, common)])
    for now_s, target in ((NOW - 1, "Mine"), (NOW, "Karsk")):
        (recall,) = memory.recall(["The capital of Velmora is"], tenant="a", now_s=now_s)
        assert (recall.scope, recall.fact and recall.fact.target) == ("accept", target)
    # Once "Velmora Hills" has expired, the shorter name "Velmora" is found in the question.
    (found,) = memory.candidates(["The capital of Velmora Hills is"], now_s=NOW)
    assert [candidate.entry.fact for candidate in found] == [common]


def test_an_expired_fact_can_be_superseded_and_deleted(filled, dated):
    filled.recall(QUESTIONS, now_s=NOW * 9)
    newer = replace(dated[0], version=2, target="Tamber", valid_until_s=None)
    filled.apply([Change(newer.key, newer), Change(dated[2].key, None)])
    (recall,) = filled.recall([newer.prompt], now_s=NOW * 9)
    assert recall.fact == newer
    assert filled.digest() == facts_sha256([newer, dated[1], *dated[3:]])
    assert filled.recall([dated[2].prompt])[0].fact is None
