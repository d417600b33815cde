"""The ledger's events are read as they were written, and a body without one of its keys is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Placement
from guardedit.core.ledger import EventKind
from guardedit.core.messages import Fate
from guardedit.ledger.events import kinds as events
from guardedit.ledger.events.kinds import EventBody
from guardedit.ledger.events.records import VerdictRecord

CLASSES = {kind.event_kind: kind for kind in EventBody.__subclasses__()}


@pytest.fixture
def written(ledger, make):
    """(kind, body) of one event of every kind that the ledger writes itself."""
    ledger.receive([make.delivery(n) for n in range(3)])
    first, second, third = ledger.pending(9)
    dead = make.settled(third, Fate.DEAD, "malformed: it is empty")
    ledger.settle([make.accepted(first), make.settled(second, Fate.HELD), dead])
    ledger.approve("c1", by="anna")
    ledger.retry(third.seq)
    ledger.settle([dead])
    ledger.drop(third.seq)
    [fact] = ledger.live().values()
    ledger.release_fact(fact.id)
    edit = make.edit([fact])
    ledger.remember_edits([("content", "group", edit)])
    promoted = [Change(fact.key, fact.placed(Placement.WEIGHTS))]
    ledger.commit(
        promoted,
        kind="promote",
        reason="",
        edits=[edit],
        weights_sha256="w",
        expected=1,
        verdict=make.verdict(),
    )
    ledger.commit([Change(fact.key, None)], kind="undo", reason="", edits=[], weights_sha256="", expected=2)
    ledger.move_ref("tested", to=1, expected=None)
    ledger.record_phase("fleet", "a", "adapter", epoch=2, phase="confirmed")
    ledger.record_activation("fleet", "adapter", epoch=2)
    ledger.record_publish_problem("fleet", "b", "cannot be reached")
    return [(kind, body) for _, kind, body in ledger.events()]


def test_every_kind_that_tables_follow_from_has_a_class(written):
    assert set(CLASSES) == events.RESERVED | {EventKind.APPROVED, EventKind.FACT_RELEASED}
    assert {kind for kind, _ in written} == set(CLASSES)


def test_a_body_is_encoded_as_it_was_recorded(written):
    for kind, body in written:
        decoded = CLASSES[EventKind(kind)].from_json(body)
        assert json.loads(json.dumps(decoded.to_json())) == body


def test_a_body_without_one_of_its_keys_is_refused(written):
    for kind, body in written:
        for key in body:
            with pytest.raises(KeyError):
                CLASSES[EventKind(kind)].from_json({name: body[name] for name in body if name != key})


@pytest.mark.parametrize(
    ("kind", "reason", "trigger"),
    [
        ("rollback", "drift: too far", "drift"),
        ("rollback", "by hand", "manual"),
        ("rollback", "odd: by hand", "manual"),
        ("undo", "drift: too far", None),
    ],
)
def test_the_reason_of_a_rollback_names_its_trigger(written, kind, reason, trigger):
    [genesis] = [body for name, body in written if name == EventKind.EPOCH and body["number"] == 0]
    event = replace(events.EpochEvent.from_json(genesis), kind=kind, reason=reason)
    assert event.rollback_trigger == trigger


def test_a_note_may_carry_a_verdict(make):
    verdict = make.verdict().to_json()
    found = VerdictRecord.in_note({"edits": [], "verdict": verdict})
    assert (found.outcome, found.gates[0].limit, found.recorded) == ("accept", 1.02, verdict)
    assert VerdictRecord.in_note({"edits": []}) is None
    assert VerdictRecord.in_note({"verdict": "a text"}) is None
