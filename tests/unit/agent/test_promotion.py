"""Promotion from memory into the weights, while the ledger moves."""

from __future__ import annotations

import pytest

from guardedit.core.verdict import Outcome
from tests.fakes import raw


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
    assert epoch.weights_sha256 == town.worker.weights_sha256(town.ledger.edits())


def test_harmful_facts_are_kept_in_memory_with_their_reason_and_harmless_ones_promoted(town):
    town.guard.harmful = {"Eve"}
    town.send(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    assert town.placed() == {"Ada": "weights", "Eve": "memory", "Bob": "weights"}
    kept = town.consolidate.kept.now()[town.facts()["Eve"].id]
    assert (kept.code, kept.state) == ("harm", "kept")
    assert "perplexity_ratio_to_serving" in kept.reason


@pytest.mark.parametrize("gone", ["superseded", "retracted"])
def test_only_the_fact_that_was_removed_during_its_trial_is_left_out(town, gone):
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    town.live.step()

    def meanwhile():
        town.worker.during = None
        change = raw("Eve", "Quito") if gone == "superseded" else raw("Eve", None, op="retract")
        town.submit(change, name="meanwhile")
        town.live.step()

    town.worker.during = meanwhile
    report = town.consolidate.step()
    town.live.publish()
    assert report.promoted == 2
    placed = town.placed()
    assert (placed["Ada"], placed["Bob"]) == ("weights", "weights")
    assert placed.get("Eve") == ("memory" if gone == "superseded" else None)
    assert town.guard.judged[-1] == ("Ada", "Bob")  # the smaller set was itself measured
    town.settle()
    assert town.ledger.verify() == []


def test_a_fact_that_arrives_during_a_trial_changes_nothing(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()

    def meanwhile():
        town.worker.during = None
        town.submit(raw("Zoe", "Kyiv"), name="meanwhile")
        town.live.step()

    town.worker.during = meanwhile
    assert town.consolidate.step().promoted == 1
    assert town.placed() == {"Ada": "weights", "Zoe": "memory"}


def test_a_trial_is_repeated_if_an_operator_changes_the_weights_meanwhile(town):
    town.send(raw("Ada", "Rome"))
    town.submit(raw("Bob", "Oslo"), name="next")
    town.live.step()

    def meanwhile():
        town.worker.during = None
        town.operator.roll_back(0)

    town.worker.during = meanwhile
    report = town.consolidate.step()
    assert (report.promoted, report.waiting) == (0, True)
    assert town.ledger.edits() == ()
    town.settle()
    assert town.placed() == {"Ada": "memory", "Bob": "weights"}


def test_a_guard_error_after_the_ledger_moved_leaves_all_facts_for_the_next_turn(town):
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"))
    town.live.step()

    def meanwhile():
        town.worker.during = None
        town.submit(raw("Eve", None, op="retract"), name="meanwhile")
        town.live.step()

    judge = town.guard.judge

    def then_break(**measured):
        found = judge(**measured)
        town.guard.broken = len(town.guard.judged) == 1  # the first verdict stands, the next ones cannot
        return found

    town.worker.during, town.guard.judge = meanwhile, then_break
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


def test_facts_are_kept_as_full_when_the_layer_is_full(build):
    town = build(limits={"capacity_ratio": 0.02})
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Eve", "Lima"))
    town.send(raw("Zoe", "Kyiv"), name="late")
    codes = {why.code for why in town.consolidate.kept.now().values()}
    assert codes == {"full"}
    assert all("capacity" in why.reason for why in town.consolidate.kept.now().values())
