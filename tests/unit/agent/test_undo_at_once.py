"""Undo by the live cycle: at once where no weights change, also while a trial runs."""

from __future__ import annotations

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import UsageError
from guardedit.core.fact import Placement
from tests.fakes import raw

DOUBTFUL = {"provenance": {"confidence": 0.5, "source": "feed"}}  # stays in memory


def test_a_fact_in_memory_is_taken_back_at_once_and_its_earlier_version_returns(town):
    town.send(raw("Ada", "Rome", **DOUBTFUL))
    town.send(raw("Ada", "Lima", **DOUBTFUL), name="2")
    before = len(town.guard.judged)
    epoch = town.live.undo(town.facts()["Ada"].id)
    assert (epoch.kind, epoch.reason.split(" of ")[0]) == ("undo", "undo")
    assert town.facts()["Ada"].target == "Rome"
    town.live.undo(town.facts()["Ada"].id)
    assert town.facts() == {}
    assert len(town.guard.judged) == before
    assert town.ledger.verify() == []


def test_a_trial_that_runs_leaves_out_a_fact_that_is_taken_back_meanwhile(town):
    town.submit(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    town.live.step()
    ada, undone = town.facts()["Ada"].id, []

    def undo_once():
        if not undone:
            undone.append(town.live.undo(ada))

    town.worker.during = undo_once
    town.consolidate.step()
    assert undone[0].kind == "undo"
    town.worker.during = None
    town.settle()
    assert town.placed() == {"Bob": "weights"}
    assert [edit.subject for edit in town.ledger.edits()] == ["Bob"]
    assert town.ledger.verify() == []


def test_where_weights_have_to_change_it_is_left_to_the_other_cycle(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    before = town.ledger.epoch()
    assert town.live.undo(town.facts()["Ada"].id) is None
    # The newer version is in memory, but the edit of the older one still answers.
    town.submit(raw("Ada", "Lima", **DOUBTFUL), name="2")
    town.live.step()
    assert town.placed()["Ada"] == "memory"
    assert town.live.undo(town.facts()["Ada"].id) is None
    assert town.ledger.epoch().number == before.number + 1


def test_a_fact_that_enters_the_weights_meanwhile_is_left_to_the_other_cycle(town, monkeypatch):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    change_facts = town.ledger.change_facts

    def after_a_promotion(*args, **named):
        town.consolidate.step()
        return change_facts(*args, **named)

    monkeypatch.setattr(town.ledger, "change_facts", after_a_promotion)
    assert town.live.undo(town.facts()["Ada"].id) is None
    assert town.placed() == {"Ada": "weights"}


def test_an_epoch_without_meaning_for_the_fact_only_delays_it(town, monkeypatch):
    town.send(raw("Ada", "Rome", **DOUBTFUL), raw("Bob", "Oslo", **DOUBTFUL))
    change_facts, bob = town.ledger.change_facts, town.facts()["Bob"]

    def after_another_epoch(*args, **named):
        monkeypatch.undo()
        town.other.change_facts([Change(bob.key, None)], kind="undo", reason="by another")
        return change_facts(*args, **named)

    monkeypatch.setattr(town.ledger, "change_facts", after_another_epoch)
    assert town.live.undo(town.facts()["Ada"].id).kind == "undo"
    assert town.facts() == {}


def test_what_a_source_wrote_is_taken_back_at_once_if_it_is_in_memory(town):
    town.send(raw("Ada", "Rome", **DOUBTFUL), raw("Bob", "Oslo"))
    epoch = town.live.undo_source("feed")
    assert epoch.reason == "undo of source 'feed': 1 facts"
    assert town.placed() == {"Bob": Placement.WEIGHTS}


def test_what_is_not_live_is_refused(town):
    with pytest.raises(UsageError, match="no fact found for 'nobody'"):
        town.live.undo("nobody")
    with pytest.raises(UsageError, match="no present fact was written or retracted by source 'nobody'"):
        town.live.undo_source("nobody")
