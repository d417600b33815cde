"""Rollback, undo and redo: what comes back, what stays out, and what is tried."""

from __future__ import annotations

import pytest

from guardedit.core.errors import ConflictError, GuardError, UsageError
from tests.fakes import raw


def test_a_rollback_does_not_restore_an_edit_that_holds_a_superseded_fact(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    early = town.ledger.epoch().number
    town.send(raw("Ada", "Lima"), name="2")
    town.operator.roll_back(early)
    assert [edit.subject for edit in town.ledger.edits()] == ["Bob"]
    assert town.facts()["Ada"].target == "Lima"
    assert town.placed() == {"Bob": "weights", "Ada": "memory"}


def test_an_operators_rollback_lasts_until_the_fact_is_released(town):
    town.send(raw("Ada", "Rome"))
    town.operator.roll_back(0)
    town.settle()
    assert town.placed() == {"Ada": "memory"}
    why = town.consolidate.kept.now()[town.facts()["Ada"].id]
    assert (why.state, why.code) == ("quarantined", "operator")
    assert "back to epoch 0" in why.reason
    town.restart()
    town.settle()
    assert town.placed() == {"Ada": "memory"}
    town.ledger.release_fact(town.facts()["Ada"].id)
    town.settle()
    assert town.placed() == {"Ada": "weights"}


def test_an_operators_rollback_ends_for_a_fact_that_is_corrected_again(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    town.operator.roll_back(0)
    town.send(raw("Ada", "Lima"), name="2")
    assert town.placed() == {"Bob": "memory", "Ada": "weights"}


def test_last_good_moves_with_the_operator(town):
    town.send(raw("Ada", "Rome"))
    early = town.ledger.epoch().number
    town.send(raw("Bob", "Oslo"), name="2")
    assert town.ledger.ref("last-good") == town.ledger.epoch().number
    town.operator.roll_back(early)
    assert town.ledger.ref("last-good") <= early
    town.settle()
    assert town.ledger.ref("last-good") == town.ledger.epoch().number


def test_an_undo_is_tried(town):
    town.send(raw("Ada", "Rome"))
    town.send(raw("Bob", "Oslo"), name="2")
    town.send(raw("Eve", "Lima"), name="3")
    before = len(town.guard.judged)
    town.operator.undo(town.facts()["Ada"].id)
    assert town.guard.judged[before:] == [("Bob", "Eve")]  # this set never served before
    epoch = town.ledger.epoch()
    assert town.ledger.verdict(epoch.number)["outcome"] == "accept"


def test_an_undo_back_to_what_served_before_is_not_tried_again(town):
    town.send(raw("Ada", "Rome"))
    town.send(raw("Bob", "Oslo"), name="2")
    before = len(town.guard.judged)
    town.operator.undo(town.facts()["Bob"].id)
    assert len(town.guard.judged) == before


def test_a_retraction_of_a_fact_in_the_weights_is_tried(town):
    town.send(raw("Ada", "Rome"))
    town.send(raw("Bob", "Oslo"), name="2")
    town.send(raw("Eve", "Lima"), name="3")
    before = len(town.guard.judged)
    town.send(raw("Ada", None, op="retract"), name="4")
    assert ("Bob", "Eve") in town.guard.judged[before:]
    assert [edit.subject for edit in town.ledger.edits()] != []
    assert "Ada" not in {edit.subject for edit in town.ledger.edits()}


def test_an_undo_that_cannot_be_measured_changes_nothing(town):
    for n, (subject, home) in enumerate([("Ada", "Rome"), ("Bob", "Oslo"), ("Eve", "Lima")]):
        town.send(raw(subject, home), name=str(n))
    before = town.ledger.epoch()
    town.guard.broken = True
    with pytest.raises(GuardError, match="nothing was changed"):
        town.operator.undo(town.facts()["Ada"].id)
    assert town.ledger.epoch() == before


def test_a_rollback_with_facts_keeps_out_only_what_was_in_the_weights(town):
    town.send(raw("Ada", "Rome"), raw("Kim", "Kyiv", provenance={"confidence": 0.5}))
    early = town.ledger.epoch().number
    kim = town.facts()["Kim"]
    town.send(raw("Kim", None, op="retract"), raw("Bob", "Oslo"), name="2")
    town.operator.roll_back(early, facts_too=True)
    assert town.facts()["Kim"].id == kim.id  # back in memory, where it always was
    assert town.consolidate.kept.now() == {}
    town.operator.roll_back(0)
    assert {why.code for why in town.consolidate.kept.now().values()} == {"operator"}
    assert set(town.consolidate.kept.now()) == {town.facts()["Ada"].id}


def test_facts_that_no_longer_pass_after_an_undo_move_to_memory(town):
    town.send(raw("Ada", "Rome"))
    town.send(raw("Bob", "Oslo"), name="2")
    town.send(raw("Eve", "Lima"), name="3")
    town.guard.leaning, town.guard.gate = {("Eve", "Ada")}, "earlier"
    town.operator.undo(town.facts()["Ada"].id)
    assert "Eve" not in {edit.subject for edit in town.ledger.edits()}
    assert town.placed()["Eve"] == "memory"


def test_undo_and_redo_give_the_same_bytes(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Eve", "Lima"))
    late = town.ledger.epoch()
    fact = town.facts()["Bob"]
    town.operator.undo(fact.id)
    assert town.ledger.epoch().weights_sha256 != late.weights_sha256
    town.operator.redo(fact.id)
    assert town.ledger.epoch().weights_sha256 == late.weights_sha256
    assert town.ledger.epoch().state_sha256 == late.state_sha256
    assert town.ledger.verify() == []


def test_a_fact_that_arrives_during_an_undo_stays(town):
    for n, (subject, home) in enumerate([("Ada", "Rome"), ("Bob", "Oslo"), ("Eve", "Lima")]):
        town.send(raw(subject, home), name=str(n))

    def meanwhile():
        town.worker.during = None
        town.submit(raw("Zoe", "Kyiv"), name="meanwhile")
        town.live.step()

    town.worker.during = meanwhile
    town.operator.undo(town.facts()["Ada"].id)
    assert set(town.facts()) == {"Bob", "Eve", "Zoe"}


def test_an_undo_of_a_fact_that_was_corrected_meanwhile_is_refused(town):
    for n, (subject, home) in enumerate([("Ada", "Rome"), ("Bob", "Oslo"), ("Eve", "Lima")]):
        town.send(raw(subject, home), name=str(n))

    def meanwhile():
        town.worker.during = None
        town.submit(raw("Ada", "Quito"), name="meanwhile")
        town.live.step()

    town.worker.during = meanwhile
    with pytest.raises(ConflictError, match="corrected meanwhile"):
        town.operator.undo(town.facts()["Ada"].id)
    assert town.facts()["Ada"].target == "Quito"


def test_a_rollback_with_facts_does_not_bring_back_what_has_expired(town):
    town.send(raw("Ada", "Rome"), raw("Eve", "Lima", valid_until_s=town.clock.now_s + 60))
    early = town.ledger.epoch().number
    town.clock.now_s += 61
    town.settle()
    town.operator.roll_back(early, facts_too=True)
    assert set(town.facts()) == {"Ada"}


def test_an_epoch_that_does_not_exist_is_refused(town):
    with pytest.raises(UsageError, match="does not exist"):
        town.operator.roll_back(10**30)
