"""Choosing a batch: which facts may be promoted, how many, and of which method."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from guardedit.agent.batch import choose, room, waiting
from guardedit.agent.kept import Kept
from guardedit.core.fact import Fact, FactKey, Placement


def fact(subject: str, *, tenant: str = "default", **fields: object) -> Fact:
    values = {
        "version": 1,
        "correction_id": "c",
        "wordings": (f"{subject} is",),
        "target": "x",
        "method": "fake",
    }
    return Fact(key=FactKey(subject, "home", tenant), **{**values, **fields})


def test_only_stable_facts_of_the_default_tenant_wait_for_the_weights():
    facts = [
        fact("wanted"),
        fact("tenant's", tenant="acme"),
        fact("expiring", valid_until_s=2e9),
        fact("inside", placement=Placement.WEIGHTS),
        fact("memory only", method=""),
        fact("harmful"),
        fact("tried once"),
        fact("tried too often"),
    ]
    kept = {
        facts[5].id: Kept(code="harm", reason="perplexity"),
        facts[6].id: Kept(code="undecided", reason="few texts", tries=1),
        facts[7].id: Kept(code="undecided", reason="few texts", tries=3),
    }
    found = waiting({f.key: f for f in facts}, kept)
    assert [f.key.subject for f in found] == ["wanted", "tried once"]


def test_a_batch_is_of_one_method_and_counts_subjects():
    facts = [fact("a"), fact("b", method="other"), fact("c"), fact("a", version=2), fact("d")]
    assert [f.key.subject for f in choose(facts, subjects=2)] == ["a", "a", "c"]


@pytest.mark.parametrize(("limit", "free"), [(0.31, 10), (0.1, 0), (float("inf"), 24)])
def test_room_ends_at_the_capacity_limit_and_without_a_guard_nowhere(limit, free):
    worker = SimpleNamespace(capacity_ratio=lambda edits: 0.02 * len(edits))
    parts = SimpleNamespace(worker=worker, limits=SimpleNamespace(batch=24, capacity_ratio=limit))
    assert room(parts, ["edit"] * 5) == free
    assert room(parts, []) == 24
