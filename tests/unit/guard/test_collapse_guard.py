"""The guard as one object, and no guard, answer the same calls."""

from __future__ import annotations

import inspect
import math

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Inspection, Measurement
from guardedit.core.verdict import Outcome
from guardedit.guard import CollapseGuard, GuardLimits, NoGuard, ProbeSet
from guardedit.guard.catalogue import KnownQuestion

FACT = Fact(
    key=FactKey("Oslo", "capital_of"),
    version=1,
    correction_id="c1",
    wordings=("Oslo is the capital of",),
    target="Denmark",
)
LIMITS = GuardLimits(other_subject_sample=9, min_texts=2, min_tokens=4)
GUARD = CollapseGuard(
    ProbeSet(
        ("One.", "Two."),
        tuple(
            KnownQuestion(f"Town{i}", "capital_of", f"Town{i} is the capital of", "Peru") for i in range(12)
        ),
    ),
    LIMITS,
)
POISONED = Inspection(
    digest="d",
    facts=(FACT.id,),
    finite=False,
    relative_size=math.nan,
    value_ratio=math.nan,
    key_outlier=math.nan,
    background_error=math.nan,
)


def _measured(probes, *, taken):
    answers = {q.prompt: q.expected if taken or q.expected == "Peru" else "Norway" for q in probes.questions}
    return Measurement(weights_sha256="", logprobs=((-1.0, -2.0), (-3.0, -1.5)), answers=answers)


def test_the_guard_asks_inspects_and_judges_by_its_own_limits():
    probes = GUARD.probes_for([FACT], {}, seed=0)
    assert probes.texts == GUARD.probe_set.texts
    assert len(probes.questions) == 1 + LIMITS.other_subject_sample
    before, after = _measured(probes, taken=False), _measured(probes, taken=True)
    assert GUARD.judge(candidate=after, serving=before, base=before, probes=probes).outcome is Outcome.ACCEPT
    failed = GUARD.judge(candidate=before, serving=before, base=before, probes=probes)
    assert (failed.outcome, failed.failing_facts) == (Outcome.REJECT, (FACT.id,))
    verdict, failing = GUARD.inspect([POISONED], capacity_ratio=0.0)
    assert (verdict.outcome, set(failing)) == (Outcome.REJECT, {FACT.id})


def test_no_guard_accepts_even_what_is_poisoned():
    probes = NoGuard().probes_for([FACT], {}, seed=0)
    assert (probes.texts, probes.questions) == ((), ())
    nothing = Measurement(weights_sha256="", logprobs=())
    assert NoGuard().judge(candidate=nothing, serving=nothing, base=nothing, probes=probes).outcome is (
        Outcome.ACCEPT
    )
    verdict, failing = NoGuard().inspect([POISONED], capacity_ratio=math.nan)
    assert (verdict.outcome, failing) == (Outcome.ACCEPT, {})


@pytest.mark.parametrize("name", ["probes_for", "inspect", "judge"])
def test_both_have_the_same_interface(name):
    assert inspect.signature(getattr(CollapseGuard, name)) == inspect.signature(getattr(NoGuard, name))
