"""From the memory into the weights: who may, in whose company, and on what ledger."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from guardedit.agent.kept import Kept
from guardedit.agent.promotion import choose, room, waiting
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.verdict import Outcome
from tests.fakes import raw


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


def test_tenants_and_expiring_facts_stay_in_memory_through_the_whole_loop(town):
    until_s = town.clock.now_s + 1e6
    town.send(
        raw("Ada", "Rome"), raw("Bob", "Oslo", tenant="acme"), raw("Eve", "Lima", valid_until_s=until_s)
    )
    assert town.placed() == {"Ada": "weights", "Bob": "memory", "Eve": "memory"}


def test_every_promoted_epoch_has_an_accepting_verdict(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    epoch = next(e for e in town.ledger.epochs() if e.kind == "promote")
    assert town.ledger.verdict(epoch.number)["outcome"] == Outcome.ACCEPT.value
    assert epoch.weights_sha256 == town.bench.weights_sha256(town.ledger.edits())


def test_harm_is_named_and_the_innocent_are_promoted(town):
    town.guard.harmful = {"Eve"}
    town.send(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    assert town.placed() == {"Ada": "weights", "Eve": "memory", "Bob": "weights"}
    kept = town.consolidate.kept.now()[town.facts()["Eve"].id]
    assert (kept.code, kept.state) == ("harm", "kept")
    assert "perplexity_ratio_to_serving" in kept.reason


@pytest.mark.parametrize("gone", ["superseded", "retracted"])
def test_a_fact_that_went_during_its_trial_is_left_out_and_nothing_else(town, gone):
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    town.live.step()

    def meanwhile():
        town.bench.during = None
        change = raw("Eve", "Quito") if gone == "superseded" else raw("Eve", None, op="retract")
        town.submit(change, name="meanwhile")
        town.live.step()

    town.bench.during = meanwhile
    report = town.consolidate.step()
    town.live.publish()
    assert report.promoted == 2
    placed = town.placed()
    assert (placed["Ada"], placed["Bob"]) == ("weights", "weights")
    assert placed.get("Eve") == ("memory" if gone == "superseded" else None)
    assert town.guard.judged[-1] == ("Ada", "Bob")  # the smaller set was itself measured
    town.settle()
    assert town.ledger.verify() == []


def test_a_fact_that_came_during_a_trial_disturbs_nothing(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()

    def meanwhile():
        town.bench.during = None
        town.submit(raw("Zoe", "Kyiv"), name="meanwhile")
        town.live.step()

    town.bench.during = meanwhile
    assert town.consolidate.step().promoted == 1
    assert town.placed() == {"Ada": "weights", "Zoe": "memory"}


def test_an_operator_who_changes_the_weights_during_a_trial_has_it_begun_again(town):
    town.send(raw("Ada", "Rome"))
    town.submit(raw("Bob", "Oslo"), name="next")
    town.live.step()

    def meanwhile():
        town.bench.during = None
        town.operator.roll_back(0)

    town.bench.during = meanwhile
    report = town.consolidate.step()
    assert (report.promoted, report.waiting) == (0, True)
    assert town.ledger.edits() == ()
    town.settle()
    assert town.placed() == {"Ada": "memory", "Bob": "weights"}


def test_a_guard_that_fails_after_the_ledger_moved_leaves_everything_for_the_next_turn(town):
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"))
    town.live.step()

    def meanwhile():
        town.bench.during = None
        town.submit(raw("Eve", None, op="retract"), name="meanwhile")
        town.live.step()

    judge = town.guard.judge

    def then_break(**measured):
        found = judge(**measured)
        town.guard.broken = len(town.guard.judged) == 1  # the first verdict stands, the next ones cannot
        return found

    town.bench.during, town.guard.judge = meanwhile, then_break
    report = town.consolidate.step()
    assert (report.promoted, report.waiting) == (0, True)
    assert town.ledger.edits() == ()
    town.guard.judge, town.guard.broken = judge, False
    town.settle()
    assert town.placed() == {"Ada": "weights"}


def test_in_shadow_mode_nothing_is_committed(build):
    town = build(limits={"shadow": True})
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    town.consolidate.step()
    assert town.guard.judged == [("Ada",)]
    assert town.placed() == {"Ada": "memory"}


def test_full_is_said_when_it_is_full(build):
    town = build(limits={"capacity_ratio": 0.02})
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Eve", "Lima"))
    town.send(raw("Zoe", "Kyiv"), name="late")
    codes = {why.code for why in town.consolidate.kept.now().values()}
    assert codes == {"full"}
    assert all("capacity" in why.reason for why in town.consolidate.kept.now().values())


@pytest.mark.parametrize(("limit", "free"), [(0.31, 10), (0.1, 0), (float("inf"), 24)])
def test_room_ends_at_the_capacity_limit_and_without_a_guard_nowhere(limit, free):
    bench = SimpleNamespace(capacity_ratio=lambda edits: 0.02 * len(edits))
    parts = SimpleNamespace(worker=bench, limits=SimpleNamespace(batch=24, capacity_ratio=limit))
    assert room(parts, ["edit"] * 5) == free
    assert room(parts, []) == 24
