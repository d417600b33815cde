"""Facts that agree are all given; of those that do not, one wins, for a reason that can be said."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.combining.conflicts import resolve

NOW_S = 1_000.0


def fact(target: str, subject: str = "Apple", relation: str = "CEO", **fields: Any) -> Fact:
    key = FactKey(subject, relation, fields.pop("tenant", "default"), fields.pop("of_many", ""))
    given = {"version": 1, "correction_id": "c", "wordings": ("?",), **fields}
    return Fact(key=key, target=target, **given)


@pytest.mark.parametrize(
    ("winner", "loser", "reason"),
    [
        (fact("Ada"), fact("Bob", version=9, valid_until_s=NOW_S), "it does not hold at that time"),
        (fact("Ada"), fact("Bob", version=9, valid_from_s=NOW_S + 1), "it does not hold at that time"),
        (fact("Ada", tenant="acme"), fact("Bob", version=9), "the tenant has a fact of its own"),
        (fact("Ada", version=10), fact("Bob", version=9), "version 9 is older than version 10"),
        (fact("Ada", correction_id="good"), fact("Bob", reported_at_s=9.0), "its source is trusted less"),
        (fact("Ada", reported_at_s=-5.0), fact("Bob"), "its report has no time"),
        (fact("Ada", reported_at_s=2.0), fact("Bob", "APPLE", reported_at_s=1.0), "it was reported earlier"),
    ],
)
def test_a_conflict_has_one_winner_in_any_order(winner, loser, reason):
    for facts in permutations([winner, loser, fact("ADA", version=0, valid_until_s=1.0)]):
        found = resolve(facts, now_s=NOW_S, trust=lambda one: one.correction_id == "good")
        assert found.given == [winner]
        assert {one.instead for one in found.set_aside} == {winner}
        assert [one.reason for one in found.set_aside if one.fact == loser] == [reason]


def test_facts_that_agree_are_all_given_in_their_order():
    facts = [
        fact("Cupertino", relation="seat"),
        fact("Ada", version=2),
        fact("ADA", "APPLE"),
        fact("Spain", "France", "borders", of_many="Spain"),
        fact("Italy", "France", "borders", of_many="Italy"),
    ]
    assert resolve(facts, now_s=NOW_S) == (facts, [])
    assert resolve(facts[::-1], now_s=NOW_S) == (facts[::-1], [])


def test_of_two_that_nothing_tells_apart_the_first_is_given():
    one, other = fact("Ada"), fact("Bob")
    assert resolve([other, one], now_s=NOW_S).given == [other]
    assert resolve([one, other], now_s=NOW_S).set_aside[0].reason == "the other fits the question better"


def test_facts_that_all_do_not_hold_are_left_to_the_caller():
    ended = fact("Ada", valid_until_s=1.0)
    assert resolve([ended], now_s=NOW_S).given == [ended]
    assert resolve([], now_s=NOW_S) == ([], [])
