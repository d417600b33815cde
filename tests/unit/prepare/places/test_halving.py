from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from guardedit.prepare.places.halving import Budget, Trial, best_trial, halve


class Bench:
    """A clock that runs only while something is measured: one second for each fact."""

    def __init__(self, merits: dict[str, float]) -> None:
        self.merits, self.now_s, self.asked = merits, 0.0, list[tuple[str, int]]()

    def measure(self, name: str, facts: int) -> Trial[str]:
        self.now_s += facts
        self.asked.append((name, facts))
        return Trial(name, facts, self.merits[name], float(facts))

    def run(self, budget_s: float, *, most: int = 16) -> list[Trial[str]]:
        budget = Budget(budget_s, lambda: self.now_s)
        return halve(list(self.merits), self.measure, budget, most_facts=most)


def test_each_round_has_twice_the_facts_and_half_the_candidates() -> None:
    bench = Bench({"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2})
    trials = bench.run(1e9)
    assert bench.asked == [("a", 4), ("b", 4), ("c", 4), ("d", 4), ("b", 8), ("c", 8), ("b", 16)]
    assert best_trial(trials).candidate == "b"


def test_a_small_budget_measures_the_most_promising_candidate_only() -> None:
    bench = Bench({"a": 0.1, "b": 0.4})
    assert best_trial(bench.run(1.0)).candidate == "a"
    assert bench.asked == [("a", 4)]


def test_a_round_that_is_cut_short_ends_the_search() -> None:
    bench = Bench({"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2})
    trials = bench.run(16.0 + 8.0)
    assert bench.asked[4:] == [("b", 8)]
    # One candidate of the second round compares nothing with another: the first round decides.
    assert best_trial(trials).facts == 4


def test_candidates_without_merit_are_dropped_first() -> None:
    trials = Bench({"a": math.nan, "b": -5.0}).run(1e9)
    assert [trial.candidate for trial in trials if trial.facts == 8] == ["b"]


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1, max_size=9), st.floats(0, 500))
def test_the_budget_is_kept_after_the_first_trial(merits: dict[str, float], budget_s: float) -> None:
    bench = Bench(merits)
    trials = bench.run(budget_s)
    assert trials
    assert bench.now_s <= max(4.0, budget_s)
    assert best_trial(trials) in trials


def test_a_last_round_of_an_odd_size_that_was_cut_decides_nothing() -> None:
    bench = Bench({"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.4})
    trials = bench.run(4 * 4.0 + 2 * 8.0 + 0.5, most=13)
    assert best_trial([*trials, Trial("a", 13, 0.1, 1.0)]).candidate == "a"  # whole: one of one
    assert best_trial([*trials[:5], Trial("c", 8, 0.1, 1.0)]).facts == 8
    rounds = [Trial(name, 8, merit, 1.0) for name, merit in (("a", 0.1), ("b", 0.9), ("c", 0.5))]
    assert best_trial([*rounds, Trial("a", 13, 0.1, 1.0)]).candidate == "b"


def test_a_round_without_any_merit_decides_nothing() -> None:
    trials = [Trial("a", 4, 0.3, 1.0), Trial("b", 4, 0.2, 1.0), Trial("a", 8, math.nan, 1.0)]
    assert best_trial(trials) == trials[0]
