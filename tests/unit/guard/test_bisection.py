"""Bisection keeps only what a trial accepted, finds culprits in few trials and spares the innocent."""

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
    gate = Gate(name="reliability", value=0, limit=1, at_most=False, outcome=outcome, culprits=names)
    return Verdict(outcome=outcome, gates=(gate,))


class LoadedModel:
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
    bench = LoadedModel(lambda chosen: False)
    found = bisect(range(9), bench)
    assert (found.kept, found.culprits, found.untried, found.trials) == (tuple(range(9)), {}, (), 1)
    assert found.verdict.outcome is Outcome.ACCEPT


def test_nothing_costs_nothing():
    found = bisect([], LoadedModel(lambda chosen: True))
    assert (found.kept, found.trials, found.verdict) == ((), 0, None)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17, 64])
def test_a_single_unnamed_culprit_is_found_in_logarithmic_trials(n):
    for culprit in range(n):
        bench = LoadedModel(lambda chosen, culprit=culprit: culprit in chosen)
        found = bisect(range(n), bench)
        assert set(found.culprits) == {culprit}
        assert found.kept == tuple(i for i in range(n) if i != culprit)
        assert found.trials == len(bench.tried) <= 2 + math.ceil(math.log2(n)) <= 2 * math.log2(n) + 2


def test_a_named_culprit_costs_two_trials():
    bench = LoadedModel(lambda chosen: 11 in chosen, names=lambda chosen: {11})
    found = bisect(range(32), bench)
    assert (set(found.culprits), found.trials) == ({11}, 2)
    assert len(found.kept) == 31


def test_a_minority_that_is_rightly_named_costs_one_trial_each():
    bad = {3, 11, 12, 30}
    bench = LoadedModel(lambda chosen: bool(chosen & bad), names=lambda chosen: chosen & bad)
    found = bisect(range(32), bench)
    assert (set(found.culprits), found.trials) == (bad, 2 + 4)


def test_the_victim_of_another_edit_is_not_condemned_for_being_named():
    # 5 breaks 6 and 7, which the reliability gate therefore names as well.
    bench = LoadedModel(lambda chosen: 5 in chosen, names=lambda chosen: chosen & {5, 6, 7})
    found = bisect(range(16), bench)
    assert set(found.culprits) == {5}
    assert found.kept == tuple(i for i in range(16) if i != 5)


@pytest.mark.parametrize("culprit", range(1, 17))
def test_a_wrong_name_condemns_nobody_and_costs_one_trial(culprit):
    bench = LoadedModel(lambda chosen: culprit in chosen, names=lambda chosen: chosen & {0})
    found = bisect(range(17), bench)
    assert set(found.culprits) == {culprit}
    assert found.culprits[culprit].outcome is Outcome.REJECT
    assert found.kept == tuple(i for i in range(17) if i != culprit)
    assert found.trials <= 2 + math.log2(16) + 1


def test_a_disabling_edit_that_fails_everybody_is_found_by_halving():
    bench = LoadedModel(lambda chosen: 9 in chosen, names=lambda chosen: chosen)
    found = bisect(range(32), bench)
    assert set(found.culprits) == {9}
    assert found.trials <= 7


def test_of_two_that_fail_only_together_the_first_is_kept():
    for first, second in [(0, 7), (2, 3), (6, 7)]:
        bench = LoadedModel(lambda chosen, pair={first, second}: pair <= chosen)
        found = bisect(range(8), bench)
        assert set(found.culprits) == {second}
        assert first in found.kept


def test_a_full_layer_keeps_the_beginning_of_the_batch():
    found = bisect(range(10), LoadedModel(lambda chosen: len(chosen) > 6))
    assert found.kept == (0, 1, 2, 3, 4, 5)
    assert set(found.culprits) == {6, 7, 8, 9}


def test_culprits_carry_the_verdict_that_turned_them_away():
    found = bisect(range(4), LoadedModel(lambda chosen: 2 in chosen, outcome=Outcome.INCONCLUSIVE))
    assert found.culprits[2].outcome is Outcome.INCONCLUSIVE
    found = bisect(range(4), LoadedModel(lambda chosen: 2 in chosen, outcome=Outcome.ERROR))
    assert found.culprits[2].outcome is Outcome.ERROR


def test_when_the_trials_run_out_the_rest_is_neither_kept_nor_condemned():
    bench = LoadedModel(lambda chosen: any(i % 2 for i in chosen))
    found = bisect(range(64), bench, max_trials=20)
    assert found.trials == len(bench.tried) == 20
    assert found.untried
    assert sorted([*found.kept, *found.culprits, *found.untried]) == list(range(64))
    assert found.kept in bench.accepted


def test_facts_and_groups_are_known_by_their_fact_ids():
    facts = tuple(
        Fact(key=FactKey("Oslo", r), version=1, correction_id=r, wordings=(f"{r} Oslo",), target="x")
        for r in ("a", "b")
    )
    group = SubjectGroup(subject="Oslo", facts=facts)
    assert fact_ids(facts[0]) == (facts[0].id,)
    assert fact_ids(group) == (facts[0].id, facts[1].id)
    others = [SubjectGroup(subject=f"S{i}", facts=()) for i in range(9)]
    bench = LoadedModel(lambda chosen: group in chosen, names=lambda chosen: {facts[1].id})
    assert bisect([*others, group], bench).trials == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32))
def test_what_is_kept_was_accepted_as_it_is_however_the_trials_behave(n, seed):
    """Trials here are arbitrary functions of the set, monotone or not, with arbitrary names."""

    def coin(chosen):
        return random.Random(f"{seed}|{sorted(chosen)}")

    bench = LoadedModel(
        lambda chosen: coin(chosen).random() < 0.7,
        names=lambda chosen: coin(chosen).sample(sorted(chosen), coin(chosen).randint(0, len(chosen))),
    )
    found = bisect(range(n), bench)
    assert not found.kept or found.kept in bench.accepted
    assert sorted([*found.kept, *found.culprits, *found.untried]) == list(range(n))
    assert len(set(bench.tried)) == len(bench.tried) == found.trials <= 64


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_innocent_are_kept_and_all_culprits_found_even_under_wrong_names(data):
    n = data.draw(st.integers(1, 32))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=4))
    named = data.draw(st.sets(st.integers(0, n - 1), max_size=n))
    bench = LoadedModel(lambda chosen: bool(chosen & bad), names=lambda chosen: chosen & named)
    found = bisect(range(n), bench, max_trials=1_000)
    assert set(found.culprits) == bad
    assert found.kept == tuple(i for i in range(n) if i not in bad)
    assert not found.untried
