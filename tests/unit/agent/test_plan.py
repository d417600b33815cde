"""The plan of an epoch, without some of its edits."""

from __future__ import annotations

from guardedit.agent.plan import EpochPlan, changed
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.protocols import SubjectGroup
from tests.fakes import edit_of


def fact(subject: str, *, target: str = "x", placement: Placement = Placement.WEIGHTS) -> Fact:
    return Fact(
        key=FactKey(subject, "home"),
        version=1,
        correction_id=subject,
        wordings=(f"{subject} is",),
        target=target,
        placement=placement,
        method="fake",
    )


def test_facts_of_removed_edits_move_to_memory_after_the_other_changes():
    ada, bob = fact("Ada"), fact("Bob")
    edits = tuple(edit_of(SubjectGroup(subject=f.key.subject, facts=(f,))) for f in (ada, bob))
    back = Change(ada.key, ada)
    plan = EpochPlan(seen=7, changes=(back,), edits=edits, live={ada.key: ada, bob.key: bob})
    smaller = plan.without(edits[:1])
    assert smaller.seen == 7
    assert smaller.edits == edits[1:]
    assert smaller.changes == (back, Change(ada.key, ada.placed(Placement.MEMORY)))
    assert smaller.live == {ada.key: ada.placed(Placement.MEMORY), bob.key: bob}
    assert plan.without(()) == plan
    assert plan.without(edits).edits == ()


def test_changes_apply_in_their_order():
    ada, bob = fact("Ada"), fact("Bob")
    live = {ada.key: ada}
    assert changed(live, [Change(ada.key, None), Change(bob.key, bob)]) == {bob.key: bob}
    assert changed(live, [Change(ada.key, None), Change(ada.key, ada)]) == live
    assert live == {ada.key: ada}
