"""Which facts answer a question, of those that are in scope of its clauses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import ScopedFact
from guardedit.memory.questions.choosing import JudgedFact, chosen, merged, placed, recall_of
from guardedit.memory.questions.clauses import Clause
from guardedit.memory.scope import ScopeVerdict

PLAIN = "Who rules Velmora?"


def fact(subject: str, relation: str, target: str, *, tenant: str = "default", **given: object) -> Fact:
    body = {"version": 1, "correction_id": target, "wordings": (f"The {relation} of {subject} is",), **given}
    return Fact(key=FactKey(subject, relation, tenant), target=target, **body)


def scoped(one: Fact, score: float, scope: str = "accept", clause: str = PLAIN, at: int = 0) -> ScopedFact:
    return ScopedFact(fact=one, scope=scope, score=score, reason="r", clause=clause, at=at)


ACCEPTED = ScopeVerdict("accept", 0.9, "asked")
CAPITAL, RIVER = fact("Velmora", "capital", "Karsk"), fact("Velmora", "river", "Tarn")


def targets(found: list[ScopedFact]) -> list[str]:
    return [one.fact.target for one in chosen(found)]


def test_a_clause_asks_for_its_best_fact():
    assert targets([scoped(RIVER, 0.8), scoped(CAPITAL, 0.9)]) == ["Karsk"]
    assert targets([scoped(RIVER, 0.99, "unsure"), scoped(CAPITAL, 0.9)]) == ["Karsk"]
    assert targets([]) == []


def test_of_a_many_valued_relation_all_facts_are_given():
    borders = [
        Fact(
            key=FactKey("Velmora", "borders", "default", target), version=1, correction_id=target,
            wordings=("Velmora borders",), target=target,
        )
        for target in ("Tarn", "Oster")
    ]  # fmt: skip
    found = [scoped(borders[0], 0.8), scoped(borders[1], 0.9), scoped(CAPITAL, 0.7)]
    assert targets(found) == ["Oster", "Tarn"]
    assert targets([*found, scoped(RIVER, 0.95)]) == ["Tarn"]


def test_clauses_are_answered_in_their_order_and_a_fact_is_given_once():
    first, second = scoped(RIVER, 0.8, at=0), scoped(CAPITAL, 0.9, at=30)
    assert targets([second, first]) == ["Tarn", "Karsk"]
    assert targets([second, first, scoped(RIVER, 0.7, at=60)]) == ["Tarn", "Karsk"]
    assert targets([second, first, scoped(RIVER, 0.9, at=60)]) == ["Karsk", "Tarn"]  # where it fits best


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (fact("Apple", "CEO", "OLD"), fact("APPLE", "ceo", "NEW", version=2)),
        (fact("Apple", "CEO", "OLD", version=9), fact("Apple", "CEO", "NEW", tenant="acme")),
        (
            fact("Apple", "CEO", "OLD", reported_at_s=1.0),
            fact("APPLE", "CEO", "NEW", reported_at_s=2.0),
        ),
        (fact("Apple", "CEO", "OLD"), fact("APPLE", "CEO", "NEW", reported_at_s=2.0)),
    ],
)
def test_of_two_facts_that_say_the_same_thing_the_newer_one_counts(older, newer):
    # The older one even fits better.
    for found in permutations([scoped(older, 0.99), scoped(newer, 0.9)]):
        assert targets(list(found)) == ["NEW"]


def test_facts_of_a_clause_that_agree_are_given_once():
    again = fact("velmora", "seat of government", "KARSK")
    assert targets([scoped(CAPITAL, 0.9), scoped(again, 0.8)]) == ["Karsk"]


def test_an_older_fact_stays_away_even_if_another_clause_asks_for_it():
    older, newer = fact("Apple", "CEO", "OLD"), fact("APPLE", "CEO", "NEW", version=2)
    assert targets([scoped(older, 0.99), scoped(newer, 0.9, at=9)]) == ["NEW"]


def test_the_recall_of_a_clause_has_the_best_verdict_and_its_margin():
    verdicts = [
        ScopeVerdict("out", 0.2, "other"),
        ScopeVerdict("accept", 0.9, "asked"),
    ]
    recall = recall_of(
        Clause(PLAIN, 4), [JudgedFact(*pair) for pair in zip((RIVER, CAPITAL), verdicts, strict=True)]
    )
    assert (recall.scope, recall.score, recall.reason, recall.fact) == ("accept", 0.9, "asked", CAPITAL)
    assert recall.margin == pytest.approx(0.7)
    assert [(one.clause, one.at) for one in recall.found] == [(PLAIN, 4)]
    alone = recall_of(Clause(PLAIN, 4), [JudgedFact(RIVER, verdicts[0])])
    assert (alone.scope, alone.score, alone.fact, alone.found) == ("out", 0.2, None, ())
    assert math.isnan(alone.margin)


def test_recalls_of_shards_are_merged_as_one_memory_would_have_found_them():
    out = recall_of(Clause(PLAIN, 0), [])
    halves = [
        replace(out, scope="accept", score=one.score, reason="r", found=(one,))
        for one in (scoped(CAPITAL, 0.9), scoped(RIVER, 0.8))
    ]
    for parts in permutations([*halves, out]):
        recall = merged(parts)
        assert (recall.scope, recall.score, recall.reason, recall.fact) == ("accept", 0.9, "r", CAPITAL)
    assert merged([out, out]) == out


def test_clauses_are_placed_in_their_question():
    places = ((40, CAPITAL), (7, RIVER))
    parts = [
        placed(recall_of(Clause(PLAIN, 0), [JudgedFact(one, ACCEPTED)]), Clause("and it?", at))
        for at, one in places
    ]
    found = merged(parts).found
    assert [(one.at, one.fact) for one in found] == sorted(places)
    assert {one.clause for one in found} == {"and it?"}
