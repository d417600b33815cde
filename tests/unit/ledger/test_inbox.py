"""The story of a message: it comes in once, is decided once, and can be looked at afterwards."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from guardedit.core.correction import content_sha256
from guardedit.core.decision import Route
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.messages import Delivery, Fate, Receipt


def test_messages_wait_in_the_order_they_came(ledger, make):
    assert ledger.receive([make.delivery(2), make.delivery(1)]) == 2
    assert ledger.receive([make.delivery(3)]) == 1
    rows = ledger.pending(2)
    assert [row.raw for row in rows] == [make.delivery(2).raw, make.delivery(1).raw]
    assert rows[0].position == "facts.jsonl:2"
    assert rows[0].received_at_s > 1_000


def test_a_redelivery_is_taken_once(ledger, make):
    assert ledger.receive([make.delivery(1), make.delivery(1)]) == 1
    assert ledger.receive([make.delivery(1), make.delivery(2)]) == 1
    assert len(ledger.pending(9)) == 2


def test_an_edited_file_that_is_sent_again_is_no_redelivery(ledger, make):
    ledger.receive([make.delivery(1, "Paris")])
    assert ledger.receive([make.delivery(1, "Rome")]) == 1


def test_bytes_that_are_no_text_are_kept_as_they_are(ledger):
    raw = bytes(range(256))
    ledger.receive([Delivery(raw=raw, source="file", position="bad-\udcff-name:1")])
    assert ledger.pending(1)[0].raw == raw


def test_a_settled_row_waits_no_longer(ledger, make):
    ledger.receive([make.delivery(1), make.delivery(2)])
    one, two = ledger.pending(9)
    ledger.settle([make.accepted(one)])
    assert ledger.pending(9) == [two]
    assert ledger.receipt("c1") == Receipt(correction_id="c1", fate=Fate.ACCEPTED, reason="live", epoch=1)
    assert ledger.receipt("c2") is None


def test_settling_without_a_change_makes_no_epoch(ledger, make):
    ledger.receive([make.delivery(1)])
    epoch = ledger.settle([make.settled(ledger.pending(1)[0], Fate.REJECTED, "no", route=Route.REJECT)])
    assert epoch.number == 0
    assert ledger.receipt("c1").fate is Fate.REJECTED


def test_a_row_is_settled_once(ledger, make):
    ledger.receive([make.delivery(1)])
    settlement = make.accepted(ledger.pending(1)[0])
    ledger.settle([settlement])
    with pytest.raises(ConflictError, match="already accepted"):
        ledger.settle([settlement])
    assert ledger.ref("serving") == 1


def test_settling_is_all_or_nothing(ledger, make):
    ledger.receive([make.delivery(1)])
    row = ledger.pending(1)[0]
    with pytest.raises(ConflictError, match="row 77 does not exist"):
        ledger.settle([make.accepted(row), replace(make.settled(row, Fate.HELD), seq=77)])
    assert ledger.pending(9) == [row]
    assert ledger.live() == {}
    assert ledger.verify() == []


def test_received_is_no_fate_to_settle_on(ledger, make):
    ledger.receive([make.delivery(1)])
    with pytest.raises(UsageError, match="received"):
        ledger.settle([make.settled(ledger.pending(1)[0], Fate.RECEIVED)])


def test_an_id_is_accepted_once_even_within_a_batch(ledger, make):
    ledger.receive([make.delivery(1), make.delivery(1, position="other.jsonl:1")])
    with pytest.raises(ConflictError, match="'c1' of inbox row 2 is decided already"):
        ledger.settle([make.accepted(row) for row in ledger.pending(9)])
    assert len(ledger.pending(9)) == 2


@pytest.mark.parametrize(
    ("fate", "is_known"),
    [
        (Fate.ACCEPTED, True),
        (Fate.UNCHANGED, True),
        (Fate.HELD, True),
        (Fate.REJECTED, True),
        (Fate.DUPLICATE, False),
    ],
)
def test_the_content_of_a_decided_id_is_known(ledger, make, fate, is_known):
    ledger.receive([make.delivery(1)])
    assert ledger.decided_content("c1") is None
    ledger.settle([make.settled(ledger.pending(1)[0], fate)])
    assert ledger.decided_content("c1") == (content_sha256(make.correction(1)) if is_known else None)


def test_a_reused_id_in_the_dead_letters_does_not_replace_what_is_known(ledger, make):
    ledger.receive([make.delivery(1)])
    ledger.settle([make.accepted(ledger.pending(1)[0])])
    ledger.receive([make.delivery(1, "Rome")])
    row = ledger.pending(1)[0]
    letter = make.settled(row, Fate.DEAD, "id_reuse: id 'c1' was used for another content")
    ledger.settle([replace(letter, correction=make.correction(1, "Rome"))])
    assert ledger.decided_content("c1") == content_sha256(make.correction(1))
    assert ledger.receipt("c1").fate is Fate.ACCEPTED


def test_the_decision_is_kept_with_its_trace(ledger, make):
    ledger.receive([make.delivery(1)])
    ledger.settle([make.accepted(ledger.pending(1)[0])])
    said = ledger.decision("c1")
    assert (said["route"], said["policy_sha256"]) == ("memory", "p1")
    assert said["trace"] == [{"rule": "all", "matched": True, "because": "no condition"}]
    assert ledger.decision("c9") is None


def test_a_held_correction_is_listed_and_can_be_released(ledger, make):
    ledger.receive([make.delivery(1), make.delivery(2)])
    row = ledger.pending(1)[0]
    ledger.settle([make.settled(row, Fate.HELD, "low confidence", route=Route.HOLD)])
    (held,) = ledger.entries(Fate.HELD)
    assert (held.correction_id, held.reason, held.raw) == ("c1", "low confidence", row.raw)
    assert not ledger.released(row.seq)
    ledger.release("c1")
    assert ledger.entries(Fate.HELD) == []
    assert ledger.pending(1) == [row]
    assert ledger.released(row.seq)
    assert ledger.decided_content("c1") is None
    ledger.settle([make.accepted(row)])
    assert ledger.receipt("c1").fate is Fate.ACCEPTED
    assert ledger.verify() == []


def test_only_held_corrections_can_be_released(ledger):
    with pytest.raises(UsageError, match="no correction 'c9' is held"):
        ledger.release("c9")


def test_a_dead_letter_keeps_bytes_place_and_reason(ledger, make):
    ledger.receive([Delivery(raw=b"{not json", source="file", position="facts.jsonl:17")])
    row = ledger.pending(1)[0]
    ledger.settle([make.settled(row, Fate.DEAD, "malformed: not a JSON object: send one")])
    (letter,) = ledger.dead_letters()
    assert (letter.raw, letter.source, letter.position) == (b"{not json", "file", "facts.jsonl:17")
    assert (letter.reason, letter.message) == ("malformed", "not a JSON object: send one")
    assert ledger.dead_letter(row.seq) == letter


def test_a_dead_letter_can_be_retried(ledger, make):
    ledger.receive([make.delivery(1)])
    row = ledger.pending(1)[0]
    ledger.settle([make.settled(row, Fate.DEAD, "just so")])
    assert ledger.dead_letters()[0].reason == "invalid"
    ledger.retry(row.seq)
    assert ledger.dead_letters() == []
    assert ledger.pending(1) == [row]
    assert not ledger.released(row.seq)


def test_a_dropped_dead_letter_is_listed_no_longer_and_still_counts_as_settled(ledger, make):
    ledger.receive([make.delivery(1)])
    row = ledger.pending(1)[0]
    ledger.settle([make.settled(row, Fate.DEAD, "malformed: no")])
    ledger.drop(row.seq)
    assert ledger.dead_letters() == []
    assert ledger.pending(1) == []
    assert ledger.counts().corrections == {("file", "", "dead_lettered"): 1}
    for again in (ledger.retry, ledger.drop, ledger.dead_letter):
        with pytest.raises(UsageError, match=f"no dead letter {row.seq}"):
            again(row.seq)
    assert [kind for _, kind, _ in ledger.events(kinds=["dropped", "retried"])] == ["dropped"]


def test_entries_are_the_newest_oldest_first(ledger, make):
    ledger.receive([make.delivery(n) for n in range(5)])
    assert [entry.seq for entry in ledger.entries(limit=2)] == [4, 5]


def test_any_process_may_handle_dead_letters_while_the_coordinator_runs(ledger, open_ledger, make):
    ledger.receive([make.delivery(1)])
    row = ledger.pending(1)[0]
    ledger.settle([make.settled(row, Fate.DEAD, "malformed: no")])
    open_ledger(writer=False).retry(row.seq)
    assert ledger.pending(1) == [row]
    assert ledger.settle([make.accepted(row)]).number == 1
    assert ledger.verify() == []


def test_counts_are_totals_of_recorded_events(ledger, make):
    ledger.receive([make.delivery(n) for n in range(1, 6)])
    one, two, three, four, _ = ledger.pending(9)
    ledger.settle(
        [
            make.accepted(one),
            make.settled(two, Fate.HELD, route=Route.HOLD),
            make.settled(three, Fate.DEAD, "malformed: no"),
            make.settled(four, Fate.DUPLICATE),
        ]
    )
    ledger.release("c2")
    ledger.settle([make.accepted(two)])
    ledger.commit(
        [], kind="rollback", reason="drift: too much", edits=[], weights_sha256="", expected=2, verdict=None
    )
    ledger.commit([], kind="rollback", reason="I say so", edits=[], weights_sha256="", expected=3)
    counts = ledger.counts()
    assert counts.corrections == {
        ("file", "memory", "accepted"): 2,
        ("file", "hold", "held"): 1,
        ("file", "", "dead_lettered"): 1,
        ("file", "", "duplicate"): 1,
    }
    assert counts.rollbacks == {"drift": 1, "manual": 1}
    assert counts.facts == {"memory": 2}
    assert (counts.dead_letters, counts.inbox_waiting, counts.serving_epoch) == (1, 1, 4)
    assert counts.inbox_oldest_s > 0
    assert counts.epoch_created_at_s == ledger.epoch().created_at_s


def test_counts_of_an_empty_ledger_are_zero_or_undefined(ledger):
    counts = ledger.counts()
    assert (counts.corrections, counts.inbox_waiting, counts.edits_live) == ({}, 0, 0)
    assert math.isnan(counts.inbox_oldest_s)


def test_gates_count_by_name_and_outcome(ledger, make):
    fact = make.fact(make.correction(1))
    ledger.commit(
        [],
        kind="promote",
        reason="",
        edits=[make.edit([fact])],
        weights_sha256="w",
        expected=0,
        verdict=make.verdict(value=math.nan),
    )
    assert ledger.counts().gates == {("perplexity_ratio", "accept"): 1}
    assert ledger.counts().edits_live == 1
    assert ledger.counts().tensors_repaired == 0
    ledger.note("tampered", {"replica": 0, "problem": "one"})
    assert ledger.counts().tensors_repaired == 1
    assert ledger.verdict(1)["probe_sha256"] == "probe"
    assert ledger.verdict(0) is None


def test_two_hundred_settlements_are_one_commit(ledger, make):
    ledger.receive([make.delivery(n) for n in range(200)])
    rows = ledger.pending(200)
    said = []
    ledger._database._connection.set_trace_callback(said.append)
    ledger.settle([make.accepted(row) for row in rows])
    ledger._database._connection.set_trace_callback(None)
    assert said.count("COMMIT") == 1
    assert len(ledger.live()) == 200
