"""Labelled pairs are made from relations, the same ones for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest

from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.fitting.pairs import JudgePair, make_pairs, most_alike
from guardedit.memory.fitting.relations import WordedRelation, load_relations
from guardedit.memory.judge.texts import SLOT

Like = dict[str, list[WordedRelation]]


@pytest.fixture(scope="module")
def like(encoder: SentenceEncoder) -> Like:
    return most_alike(load_relations(), encoder)


@pytest.fixture(scope="module")
def pairs(like: Like) -> list[JudgePair]:
    return list(make_pairs(load_relations(), like, seed=3))


def test_the_same_seed_makes_the_same_pairs(pairs, like):
    assert list(make_pairs(load_relations(), like, seed=3)) == pairs
    assert list(make_pairs(load_relations(), like, seed=4)) != pairs


def test_relations_that_are_alike_can_be_confused(like):
    assert "mother" in [one.relation for one in like["father"]]
    assert all(name not in [one.relation for one in near] for name, near in like.items())
    assert {len(near) for near in like.values()} == {10}


def test_both_texts_have_the_subject_masked(pairs):
    for pair in pairs:
        assert SLOT in pair.question, pair
        assert SLOT in pair.fact, pair
        assert "{" not in pair.question + pair.fact, pair


def test_two_in_five_pairs_are_in_scope_and_every_kind_is_there(pairs):
    share = sum(pair.in_scope for pair in pairs) / len(pairs)
    assert 0.3 < share < 0.5
    kinds = Counter(pair.kind for pair in pairs)
    assert {"asked", "search", "yes_no", "translated", "second_question"} <= set(kinds)
    assert {"beside", "other_time", "negated", "other_relation", "longer_name", "common_word"} <= set(kinds)
    assert min(kinds.values()) > 100


def test_a_kind_is_in_scope_or_not(pairs):
    labels: dict[str, set[bool]] = {}
    for pair in pairs:
        labels.setdefault(pair.kind, set()).add(pair.in_scope)
    assert all(len(found) == 1 for found in labels.values())
