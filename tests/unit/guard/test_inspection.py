"""Tier 0: every gate fails exactly the edits that are over its limit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from guardedit.core.probe import Inspection
from guardedit.core.verdict import Outcome
from guardedit.guard.inspection import inspect_gates
from guardedit.guard.limits import GuardLimits

LIMITS = GuardLimits(
    max_relative_size=0.5,
    max_value_ratio=6.0,
    max_key_outlier=8.0,
    max_background_error=0.05,
    max_capacity_ratio=0.3,
)
GOOD = Inspection(
    digest="a" * 64,
    facts=("f1", "f2"),
    finite=True,
    relative_size=0.1,
    value_ratio=2.0,
    key_outlier=1.5,
    background_error=0.001,
)


def _inspect(*inspections, capacity_ratio=0.1, limits=LIMITS):
    return inspect_gates(inspections, capacity_ratio=capacity_ratio, limits=limits)


def _gate(verdict, name):
    return next(gate for gate in verdict.gates if gate.name == name)


def test_ordinary_edits_pass_every_gate():
    verdict, failing = _inspect(GOOD, replace(GOOD, digest="b" * 64, facts=("f3",)))
    assert verdict.outcome is Outcome.ACCEPT
    assert [gate.name for gate in verdict.gates] == [
        "finite",
        "relative_size",
        "value_ratio",
        "key_outlier",
        "background_error",
        "capacity_ratio",
    ]
    assert failing == {}


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("relative_size", 0.51, 0.5),
        ("value_ratio", 6.01, 6.0),
        ("key_outlier", math.inf, 8.0),
        ("background_error", 0.2, 0.05),
    ],
)
def test_an_edit_over_one_limit_is_named_and_the_others_are_not(field, value, limit):
    bad = replace(GOOD, digest="bad" * 20, facts=("f9",), **{field: value})
    verdict, failing = _inspect(GOOD, bad)
    assert verdict.outcome is Outcome.REJECT
    assert verdict.failing_facts == ("f9",)
    assert {fact: [g.name for g in gates] for fact, gates in failing.items()} == {"f9": [field]}
    gate = _gate(verdict, field)
    assert (gate.value, gate.limit) == (value, limit)
    assert gate.detail.startswith("Halt: edit badbadbadbad: ")


def test_a_value_on_the_limit_passes():
    assert _inspect(replace(GOOD, value_ratio=6.0))[0].outcome is Outcome.ACCEPT


def test_an_edit_that_is_not_finite_is_rejected_for_that_alone():
    poisoned = replace(GOOD, facts=("f9",), finite=False, relative_size=math.nan, key_outlier=math.nan)
    verdict, failing = _inspect(GOOD, poisoned)
    assert verdict.outcome is Outcome.REJECT
    assert [gate.name for gate in failing["f9"]] == ["finite"]
    assert _gate(verdict, "relative_size").value == 0.1


def test_a_number_that_could_not_be_computed_is_an_error_and_names_the_fact():
    verdict, failing = _inspect(GOOD, replace(GOOD, facts=("f9",), key_outlier=math.nan))
    assert verdict.outcome is Outcome.ERROR
    assert set(failing) == {"f9"}


def test_a_gate_reports_the_worst_value_and_names_all_that_fail():
    edits = [
        replace(GOOD, facts=(f"f{i}",), background_error=value)
        for i, value in enumerate([0.06, 0.001, 0.3, 0.07])
    ]
    gate = _gate(_inspect(*edits)[0], "background_error")
    assert gate.value == 0.3
    assert gate.failing_facts == ("f0", "f2", "f3")


def test_a_full_layer_rejects_the_proposal_and_names_no_fact():
    verdict, failing = _inspect(GOOD, capacity_ratio=0.31)
    assert verdict.outcome is Outcome.REJECT
    assert verdict.failing_facts == ()
    assert failing == {}
    assert _inspect(GOOD, capacity_ratio=math.nan)[0].outcome is Outcome.ERROR


def test_a_shadow_gate_is_reported_with_its_outcome_and_fails_no_fact():
    limits = replace(LIMITS, shadow=frozenset({"key_outlier"}))
    verdict, failing = _inspect(replace(GOOD, key_outlier=99.0), limits=limits)
    assert verdict.outcome is Outcome.ACCEPT
    assert _gate(verdict, "key_outlier").outcome is Outcome.REJECT
    assert _gate(verdict, "key_outlier").shadow
    assert (verdict.failing_facts, failing) == ((), {})
