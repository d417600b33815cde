from __future__ import annotations

import math

import pytest

from guardedit.core.errors import EditError
from guardedit.core.probe import Measurement
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.evaluation.miner import mine


class Bench:
    """Edits of a subject multiply the perplexity by what `ratios` says of it; None cannot be folded."""

    def __init__(self, ratios):
        self.ratios = ratios
        self.asked = []

    def propose(self, method, groups, live):
        assert (method, live) == ("rome", ())
        (group,) = groups
        (fact,) = group.facts
        assert fact.prompt.startswith(group.subject)
        self.asked.append(group.subject)
        if group.subject not in self.ratios:
            return Proposal(method=method, edits=(), refused={fact.id: "no"})
        edit = WeightEdit(subject=group.subject, facts=(fact.id,), method=method, payload=b"")
        return Proposal(method=method, edits=(edit,))

    def measure(self, edits, probes):
        ratio = self.ratios[edits[0].subject] if edits else 1.0
        if ratio is None:
            raise EditError("too large")
        rows = tuple((-1.0 - math.log(ratio), -2.0 - math.log(ratio)) for _ in probes.texts)
        return Measurement(weights_sha256="", logprobs=rows)


def run(world, ratios, **options):
    bench = Bench(ratios)
    given = {"wanted": 2, "seed": 0, "most": 10} | options
    return bench, mine(world, bench, ["a b c", "d e f"], **given)


def all_of(world, value):
    return dict.fromkeys(world.by_subject, value)


def test_it_stops_when_enough_are_found(world):
    bench, mining = run(world, all_of(world, 3.0))
    assert len(mining.tried) == len(mining.found) == len(bench.asked) == 2
    assert mining.tried[0].ratio == pytest.approx(3.0)


def test_it_stops_when_attempts_run_out_and_reports_all(world):
    _, mining = run(world, all_of(world, 1.01))
    assert len(mining.tried) == 10
    assert mining.found == ()


def test_short_names_come_first_and_seeds_repeat(world):
    bench, mining = run(world, all_of(world, 1.0))
    assert bench.asked == sorted(bench.asked, key=len)
    assert run(world, all_of(world, 1.0))[1] == mining
    assert run(world, all_of(world, 1.0), seed=1)[1] != mining


def test_what_is_found_comes_worst_first(world):
    ratios = {name: 1.0 + n for n, name in enumerate(sorted(world.by_subject))}
    _, mining = run(world, ratios, wanted=4)
    by_edit = {attempt.edit: attempt.ratio for attempt in mining.tried}
    found = [by_edit[edit] for edit in mining.found]
    assert found == sorted(found, reverse=True)
    assert min(found) > mining.limit


def test_an_edit_too_large_to_fold_is_disabling_and_no_edit_is_not(world):
    _, mining = run(world, all_of(world, None), wanted=1)
    assert mining.tried[0].ratio == math.inf
    assert len(mining.found) == 1
    _, mining = run(world, {}, most=3)
    assert [math.isnan(attempt.ratio) for attempt in mining.tried] == [True] * 3
    assert mining.found == ()
