"""The live cycle: stored before acknowledged, answered at once, never stopped by one message."""

from __future__ import annotations

import json

import pytest

from guardedit.core.errors import ConflictError, SourceError, StorageFull
from guardedit.core.messages import Fate
from guardedit.ledger.sqlite_ledger import SqliteLedger
from tests.fakes import FakeSource, delivered, raw


def test_a_broker_is_acknowledged_only_after_the_inbox_has_committed(build, home):
    found = []

    def look(deliveries):
        with SqliteLedger.open(home, clock=lambda: 0.0, writer=False) as reader:
            found.append(len(reader.entries()))

    source = FakeSource(waiting=delivered(raw("Ada", "Rome")), on_ack=look)
    town = build(others={"sources": [source]})
    assert town.live.step().received == 1
    assert found == [1]
    assert source.waiting == []


def test_a_broker_that_is_away_is_reported_and_does_not_stop_the_rest(build):
    class Away(FakeSource):
        def pull(self, max_n, wait_s):
            raise SourceError("127.0.0.1:6399 does not answer: start it")

    town = build(others={"sources": [Away(), FakeSource(waiting=delivered(raw("Ada", "Rome")))]})
    report = town.live.step()
    assert report.away.startswith("127.0.0.1:6399")
    assert report.received == 1
    assert town.placed() == {"Ada": "memory"}


def test_a_correction_is_published_by_the_turn_that_received_it(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    assert [a.text for a in town.replica.ask(["The home of Ada is"])] == ["Rome"]
    assert town.replica.number == town.ledger.epoch().number


def test_a_replica_gets_only_what_changed(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    update = town.replica.handed[-1]
    assert [change.key.subject for change in update.changes] == ["Ada"]
    assert update.edits is None


def test_a_replica_that_missed_an_update_gets_everything(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    town.replica.number = None  # started anew
    town.replica.facts = {}
    town.submit(raw("Eve", "Lima"), name="more")
    town.live.step()
    assert sorted(key.subject for key in town.replica.facts) == ["Ada", "Eve"]


def test_nothing_is_handed_over_while_nothing_changes(town):
    before = len(town.replica.handed)
    for _ in range(3):
        town.live.step()
    assert len(town.replica.handed) == before


def test_in_shadow_mode_replicas_serve_the_base_model_only(build):
    town = build(limits={"shadow": True})
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    assert town.replica.facts == {}
    assert town.placed() == {"Ada": "memory"}


def test_an_expired_fact_is_removed(town):
    town.submit(raw("Ada", "Rome", valid_until_s=town.clock.now_s + 60))
    town.live.step()
    assert town.placed() == {"Ada": "memory"}
    town.clock.now_s += 60
    town.live.step()
    assert town.placed() == {}
    assert town.replica.facts == {}
    assert town.ledger.epoch().kind == "expire"


def test_a_newer_fact_does_not_expire_with_the_one_that_it_replaced(town):
    start = town.clock.now_s
    town.submit(raw("Ada", "Rome", valid_until_s=start + 60), raw("Bob", "Rome", valid_until_s=start + 60))
    town.live.step()
    town.submit(raw("Ada", "Oslo", valid_until_s=start + 90), raw("Bob", "Oslo"), name="newer")
    town.live.step()
    town.clock.now_s = start + 60
    town.live.step()
    assert town.placed() == {"Ada": "memory", "Bob": "memory"}
    town.clock.now_s = start + 90
    town.live.step()
    assert town.placed() == {"Bob": "memory"}


def test_a_fact_whose_removal_failed_is_removed_in_the_next_turn(town, monkeypatch):
    town.submit(raw("Ada", "Rome", valid_until_s=town.clock.now_s + 60))
    town.live.step()
    town.clock.now_s += 60

    def refuses(*_, **__):
        raise StorageFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(town.ledger, "change_facts", refuses)
        with pytest.raises(StorageFull):
            town.live.step()
    assert town.placed() == {"Ada": "memory"}
    town.live.step()
    assert town.placed() == {}


@pytest.mark.parametrize("stage", ["check", "decide", "store"])
def test_a_message_that_makes_a_stage_fail_is_a_dead_letter_and_the_others_live(build, stage, monkeypatch):
    def fail_on_eve(correction, *rest):
        if correction.subject == "Eve":
            raise OverflowError("nobody foresaw this \ud800")
        return kept(correction, *rest) if (kept := passing.get(stage)) else None

    from tests.fakes import to_weights

    passing = {"decide": to_weights}
    others = {"check": fail_on_eve} if stage == "check" else {}
    if stage == "decide":
        others["decide"] = fail_on_eve
    town = build(others=others)
    if stage == "store":
        settle = town.ledger.settle

        def refuse(settlements, **named):
            if any(s.correction and s.correction.subject == "Eve" for s in settlements):
                raise OverflowError("cannot be stored")
            return settle(settlements, **named)

        monkeypatch.setattr(town.ledger, "settle", refuse)
    town.send(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    assert sorted(town.facts()) == ["Ada", "Bob"]
    letters = town.ledger.dead_letters()
    assert [json.loads(letter.raw)["subject"] for letter in letters] == ["Eve"]
    assert letters[0].reason == {"check": "decode_failed"}.get(stage, f"{stage}_failed")
    assert "OverflowError" in letters[0].message


def test_a_dead_letter_stays_one_after_a_restart(town):
    town.send(b'{"subject": "Ada", "valid_until_s": ' + b"9" * 5_000 + b"}", raw("Bob", "Oslo"))
    town.restart()
    town.settle()
    assert town.fates() == [Fate.DEAD, Fate.ACCEPTED]


def test_a_turn_is_repeated_if_an_operator_changed_the_fact_meanwhile(town, monkeypatch):
    town.send(raw("Ada", "Rome", provenance={"confidence": 0.5}))
    town.submit(raw("Ada", "Lima", provenance={"confidence": 0.5}), name="next")
    decide = town.live.decider.decide

    def undo_meanwhile(pending):
        settlements = decide(pending)
        town.operator.undo(town.facts()["Ada"].id)
        return settlements

    monkeypatch.setattr(town.live.decider, "decide", undo_meanwhile)
    town.live.step()
    monkeypatch.undo()
    assert town.facts() == {}  # nothing was settled on what is no longer so
    town.live.step()
    assert town.facts()["Ada"].target == "Lima"


def test_a_message_that_the_ledger_always_refuses_does_not_block_the_others(town, monkeypatch):
    settle = town.ledger.settle

    def refuse(settlements, **named):
        if any(s.correction and s.correction.subject == "Eve" for s in settlements):
            raise ConflictError("decided already")
        return settle(settlements, **named)

    monkeypatch.setattr(town.ledger, "settle", refuse)
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"), raw("Bob", "Oslo"))
    for _ in range(6):
        town.live.step()
    assert sorted(town.facts()) == ["Ada", "Bob"]
    assert town.fates() == [Fate.ACCEPTED, Fate.DEAD, Fate.ACCEPTED]


def test_messages_behind_one_that_cannot_be_stored_are_decided_without_it(town, monkeypatch):
    settle = town.ledger.settle

    def refuse(settlements, **named):
        if any(s.correction and s.correction.target_new == "Lima" for s in settlements):
            raise OverflowError("cannot be stored")
        return settle(settlements, **named)

    monkeypatch.setattr(town.ledger, "settle", refuse)
    town.send(raw("Eve", "Lima"), raw("Eve", "Quito"))
    assert town.fates() == [Fate.DEAD, Fate.ACCEPTED]
    assert (town.facts()["Eve"].target, town.facts()["Eve"].version) == ("Quito", 1)


def test_a_replica_that_fails_to_compare_answers_stops_nothing(town, monkeypatch):
    def fail(asked, *, tenant="default"):
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(town.replica, "says", fail)
    town.send(raw("Ada", "Rome"), raw("Bob", "as before"))
    assert town.fates() == [Fate.ACCEPTED, Fate.ACCEPTED]
    assert "ValueError" in {e.fields["error"] for e in town.heard if e.kind == "error"}


def test_each_fact_expires_at_its_own_time(town):
    for n, subject in enumerate(["Ada", "Bob", "Eve"], start=1):
        town.submit(raw(subject, "Rome", valid_until_s=town.clock.now_s + 60 * n), name=subject)
    town.live.step()
    for left in (["Bob", "Eve"], ["Eve"], []):
        town.clock.now_s += 60
        town.live.step()
        assert sorted(town.facts()) == left
