"""Bisection accepts only what a trial accepted, finds harmful items in few trials, and excludes no others."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Gate, Outcome, Verdict
from guardedit.guard.bisection import bisect, fact_ids


def _verdict(outcome, *, named=()):
    names = tuple(map(str, named))
    gate = Gate(name="reliability", value=0, limit=1, at_most=False, outcome=outcome, failing_facts=names)
    return Verdict(outcome=outcome, gates=(gate,))


class RecordedTrial:
    """A trial that fails when `broken(set)` says so, names `names(set)`, and notes what it was asked."""

    def __init__(self, broken, names=lambda tried: (), outcome=Outcome.REJECT):
        self.broken, self.names, self.outcome = broken, names, outcome
        self.tried = []

    def __call__(self, items):
        self.tried.append(tuple(items))
        chosen = set(items)
        if self.broken(chosen):
            return _verdict(self.outcome, named=self.names(chosen))
        return _verdict(Outcome.ACCEPT)

    @property
    def accepted(self):
        return [tried for tried in self.tried if not self.broken(set(tried))]


def test_a_batch_that_passes_costs_one_trial():
    trial = RecordedTrial(lambda chosen: False)
    found = bisect(range(9), trial)
    assert (found.accepted, found.harmful, found.untried, found.trials) == (tuple(range(9)), {}, (), 1)
    assert found.verdict.outcome is Outcome.ACCEPT


def test_nothing_costs_nothing():
    found = bisect([], RecordedTrial(lambda chosen: True))
    assert (found.accepted, found.trials, found.verdict) == ((), 0, None)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17, 64])
def test_a_single_harmful_item_without_a_name_is_found_in_logarithmic_trials(n):
    for harmful in range(n):
        trial = RecordedTrial(lambda chosen, harmful=harmful: harmful in chosen)
        found = bisect(range(n), trial)
        assert set(found.harmful) == {harmful}
        assert found.accepted == tuple(i for i in range(n) if i != harmful)
        assert found.trials == len(trial.tried) <= 2 + math.ceil(math.log2(n)) <= 2 * math.log2(n) + 2


def test_a_harmful_item_that_is_named_costs_two_trials():
    trial = RecordedTrial(lambda chosen: 11 in chosen, names=lambda chosen: {11})
    found = bisect(range(32), trial)
    assert (set(found.harmful), found.trials) == ({11}, 2)
    assert len(found.accepted) == 31


def test_a_minority_that_is_rightly_named_costs_one_trial_each():
    bad = {3, 11, 12, 30}
    trial = RecordedTrial(lambda chosen: bool(chosen & bad), names=lambda chosen: chosen & bad)
    found = bisect(range(32), trial)
    assert (set(found.harmful), found.trials) == (bad, 2 + 4)


def test_a_named_item_that_another_one_damaged_is_accepted():
    # 5 breaks 6 and 7, which the reliability gate therefore names as well.
    trial = RecordedTrial(lambda chosen: 5 in chosen, names=lambda chosen: chosen & {5, 6, 7})
    found = bisect(range(16), trial)
    assert set(found.harmful) == {5}
    assert found.accepted == tuple(i for i in range(16) if i != 5)


@pytest.mark.parametrize("harmful", range(1, 17))
def test_a_wrong_name_excludes_no_item_and_costs_one_trial(harmful):
    trial = RecordedTrial(lambda chosen: harmful in chosen, names=lambda chosen: chosen & {0})
    found = bisect(range(17), trial)
    assert set(found.harmful) == {harmful}
    assert found.harmful[harmful].outcome is Outcome.REJECT
    assert found.accepted == tuple(i for i in range(17) if i != harmful)
    assert found.trials <= 2 + math.log2(16) + 1


def test_an_item_that_makes_all_others_fail_is_found_by_halving():
    trial = RecordedTrial(lambda chosen: 9 in chosen, names=lambda chosen: chosen)
    found = bisect(range(32), trial)
    assert set(found.harmful) == {9}
    assert found.trials <= 7


def test_of_two_that_fail_only_together_the_first_is_accepted():
    for first, second in [(0, 7), (2, 3), (6, 7)]:
        trial = RecordedTrial(lambda chosen, pair={first, second}: pair <= chosen)
        found = bisect(range(8), trial)
        assert set(found.harmful) == {second}
        assert first in found.accepted


def test_a_full_layer_accepts_the_beginning_of_the_batch():
    found = bisect(range(10), RecordedTrial(lambda chosen: len(chosen) > 6))
    assert found.accepted == (0, 1, 2, 3, 4, 5)
    assert set(found.harmful) == {6, 7, 8, 9}


def test_harmful_items_have_the_verdict_that_excluded_them():
    found = bisect(range(4), RecordedTrial(lambda chosen: 2 in chosen, outcome=Outcome.INCONCLUSIVE))
    assert found.harmful[2].outcome is Outcome.INCONCLUSIVE
    found = bisect(range(4), RecordedTrial(lambda chosen: 2 in chosen, outcome=Outcome.ERROR))
    assert found.harmful[2].outcome is Outcome.ERROR


def test_when_the_trials_run_out_the_rest_is_neither_accepted_nor_harmful():
    trial = RecordedTrial(lambda chosen: any(i % 2 for i in chosen))
    found = bisect(range(64), trial, max_trials=20)
    assert found.trials == len(trial.tried) == 20
    assert found.untried
    assert sorted([*found.accepted, *found.harmful, *found.untried]) == list(range(64))
    assert found.accepted in trial.accepted


def test_facts_and_groups_are_known_by_their_fact_ids():
    facts = tuple(
        Fact(key=FactKey("Oslo", r), version=1, correction_id=r, wordings=(f"{r} Oslo",), target="x")
        for r in ("a", "b")
    )
    group = SubjectGroup(subject="Oslo", facts=facts)
    assert fact_ids(facts[0]) == (facts[0].id,)
    assert fact_ids(group) == (facts[0].id, facts[1].id)
    others = [SubjectGroup(subject=f"S{i}", facts=()) for i in range(9)]
    trial = RecordedTrial(lambda chosen: group in chosen, names=lambda chosen: {facts[1].id})
    assert bisect([*others, group], trial).trials == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32))
def test_the_accepted_set_was_itself_accepted_by_a_trial_however_the_trials_behave(n, seed):
    """Trials here are arbitrary functions of the set, monotone or not, with arbitrary names."""

    def coin(chosen):
        return random.Random(f"{seed}|{sorted(chosen)}")

    trial = RecordedTrial(
        lambda chosen: coin(chosen).random() < 0.7,
        names=lambda chosen: coin(chosen).sample(sorted(chosen), coin(chosen).randint(0, len(chosen))),
    )
    found = bisect(range(n), trial)
    assert not found.accepted or found.accepted in trial.accepted
    assert sorted([*found.accepted, *found.harmful, *found.untried]) == list(range(n))
    assert len(set(trial.tried)) == len(trial.tried) == found.trials <= 64


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_harmful_items_are_found_and_all_others_accepted_even_under_wrong_names(data):
    n = data.draw(st.integers(1, 32))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=4))
    named = data.draw(st.sets(st.integers(0, n - 1), max_size=n))
    trial = RecordedTrial(lambda chosen: bool(chosen & bad), names=lambda chosen: chosen & named)
    found = bisect(range(n), trial, max_trials=1_000)
    assert set(found.harmful) == bad
    assert found.accepted == tuple(i for i in range(n) if i not in bad)
    assert not found.untried
