"""Verdicts on a removal, which only what it makes worse decides; and which texts a candidate is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from guardedit.agent.judging import TrialSetup, judge_candidate, judge_removal
from guardedit.core.probe import Measurement, Probes
from guardedit.core.verdict import Gate, Outcome, combine

SETUP = TrialSetup(serving=("a", "b"), staying=("a",), facts={}, live={}, seed=0)


class Gates:
    """A guard with one failing gate, on the candidate or on the serving epoch as well."""

    def __init__(self, name: str, *, serving_fails: bool = False, facts: tuple[str, ...] = ()) -> None:
        self.name, self.serving_fails, self.facts = name, serving_fails, facts

    def probes_for(self, batch, live, *, seed, effort=1):
        return Probes(texts=("a text",))

    def judge(self, *, candidate, serving, base, probes, final=True):
        passes = candidate is serving and not self.serving_fails
        fine = Gate(name="reliability", value=1, limit=1, at_most=False, outcome=Outcome.ACCEPT)
        outcome = Outcome.ACCEPT if passes else Outcome.REJECT
        gate = Gate(name=self.name, value=2, limit=1, at_most=True, outcome=outcome, failing_facts=self.facts)
        return combine((fine, gate))


def judged(guard: Gates) -> Outcome:
    notes = []
    parts = SimpleNamespace(
        guard=guard,
        worker=SimpleNamespace(measure=lambda edits, _: Measurement(weights_sha256=str(edits), logprobs=())),
        ledger=SimpleNamespace(note=lambda kind, body: notes.append(kind)),
        clock=lambda: 0.0,
        observe=lambda event: None,
    )
    outcome = judge_removal(parts, SETUP).verdict.outcome
    assert (notes == ["trial"]) == (outcome is not Outcome.ACCEPT)
    return outcome


@pytest.mark.parametrize("name", ["perplexity_ratio_to_base", "other_subject_to_base", "remembered"])
def test_a_budget_that_the_staying_edits_have_used_up_does_not_decide(name):
    assert judged(Gates(name)) is Outcome.ACCEPT


def test_a_gate_that_the_serving_epoch_fails_too_decides_only_if_it_names_facts():
    assert judged(Gates("earlier")) is Outcome.REJECT
    assert judged(Gates("earlier", serving_fails=True)) is Outcome.ACCEPT
    assert judged(Gates("earlier", serving_fails=True, facts=("f1",))) is Outcome.REJECT


class Looks:
    """A guard whose first look at half of the texts has one outcome, and whose last look accepts."""

    def __init__(self, early: Outcome) -> None:
        self.early, self.seen = early, []

    def probes_for(self, batch, live, *, seed, effort=1):
        return Probes(texts=("one", "two"))

    def first_look(self, probes):
        return Probes(texts=probes.texts[:1], questions=probes.questions)

    def judge(self, *, candidate, serving, base, probes, final=True):
        if candidate is not serving:
            self.seen.append((probes.texts, final))
        outcome = Outcome.ACCEPT if final else self.early
        return combine(
            (Gate(name="perplexity_ratio_to_base", value=1, limit=1, at_most=True, outcome=outcome),)
        )


@pytest.mark.parametrize(
    ("early", "outcome", "last"),
    [
        (Outcome.ACCEPT, Outcome.ACCEPT, [(("one",), True)]),  # the other text is not read
        (Outcome.INCONCLUSIVE, Outcome.ACCEPT, [(("one", "two"), True)]),
        (Outcome.REJECT, Outcome.REJECT, []),
    ],
)
def test_the_other_texts_are_read_unless_the_first_ones_decide(early, outcome, last):
    guard = Looks(early)
    parts = SimpleNamespace(
        guard=guard,
        worker=SimpleNamespace(measure=lambda edits, _: Measurement(weights_sha256=str(edits), logprobs=())),
        ledger=SimpleNamespace(note=lambda kind, body: None),
        clock=lambda: 0.0,
        observe=lambda event: None,
    )
    assert judge_candidate(parts, SETUP, []).verdict.outcome is outcome
    assert guard.seen == [(("one",), False), *last]
    guard.seen.clear()
    judge_candidate(parts, SETUP, [], in_full=True)
    assert guard.seen == [(("one", "two"), True)]
