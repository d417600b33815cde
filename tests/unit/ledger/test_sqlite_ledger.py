"""What the ledger promises to the loop: epochs, refs, compare-and-swap, and the same after a restart."""

from __future__ import annotations

import math

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import (
    ConflictError,
    LedgerBusy,
    LedgerError,
    UsageError,
    WrongBaseModel,
)
from guardedit.core.fact import FactKey, Placement
from guardedit.core.ledger import Ledger
from guardedit.core.verdict import Outcome
from guardedit.ledger.sqlite_ledger import SqliteLedger


def remember(ledger, make, *numbers):
    ledger.receive([make.delivery(n) for n in numbers])
    return ledger.settle([make.accepted(row) for row in ledger.pending(100)])


def promote(ledger, make, *numbers, **options):
    """The facts of these numbers into the weights, one edit each, beside the edits that are live."""
    facts = [f for f in ledger.live().values() if f.correction_id in {f"c{n}" for n in numbers}]
    edits = [*ledger.edits(), *(make.edit([f]) for f in facts)]
    given = {
        "kind": "promote",
        "reason": "accepted",
        "edits": edits,
        "weights_sha256": f"w{len(edits)}",
        "expected": ledger.ref("serving"),
        "verdict": make.verdict(),
        **options,
    }
    return ledger.commit([Change(f.key, f.placed(Placement.WEIGHTS)) for f in facts], **given)


def test_it_is_a_ledger(ledger):
    as_protocol: Ledger = ledger
    assert as_protocol.base_sha256 == "b" * 64


def test_a_new_ledger_serves_epoch_0_without_facts(ledger):
    assert ledger.epoch().number == 0
    assert ledger.epoch().kind == "base"
    assert ledger.live() == {}
    assert ledger.edits() == ()
    assert ledger.refs() == {"last-good": 0, "serving": 0}


def test_a_settlement_with_a_change_makes_the_next_epoch(ledger, make):
    epoch = remember(ledger, make, 1, 2)
    assert (epoch.number, epoch.kind) == (1, "remember")
    assert {f.correction_id for f in ledger.live().values()} == {"c1", "c2"}
    assert ledger.epoch() == epoch
    assert ledger.epochs() == [ledger.epoch(0), epoch]


def test_a_commit_sets_edits_weights_and_placements(ledger, make):
    remember(ledger, make, 1, 2)
    epoch = promote(ledger, make, 1)
    assert (epoch.number, epoch.weights_sha256) == (2, "w1")
    placements = {f.correction_id: f.placement for f in ledger.live().values()}
    assert placements == {"c1": Placement.WEIGHTS, "c2": Placement.MEMORY}
    assert [e.digest for e in ledger.edits()] == list(epoch.edits)


def test_edits_come_sorted_by_digest_with_the_bytes_they_had(ledger, make):
    remember(ledger, make, *range(5))
    promote(ledger, make, 3, 1)
    promote(ledger, make, 0, 4)
    expected = [make.edit([f]) for f in ledger.live().values() if f.placement is Placement.WEIGHTS]
    assert list(ledger.edits()) == sorted(expected, key=lambda e: e.digest)


def test_an_older_epoch_keeps_its_facts_and_edits(ledger, make):
    remember(ledger, make, 1)
    first = promote(ledger, make, 1)
    live, edits = ledger.live(), ledger.edits()
    remember(ledger, make, 2)
    promote(ledger, make, 2)
    ledger.commit(
        [Change(key, None) for key in live],
        kind="retract",
        reason="",
        edits=[],
        weights_sha256="w0",
        expected=ledger.ref("serving"),
    )
    assert ledger.live(first.number) == live
    assert ledger.edits(first.number) == edits
    assert ledger.epoch(first.number) == first
    assert ledger.edits() == ()


def test_a_memory_epoch_copies_weights_and_edits(ledger, make):
    remember(ledger, make, 1)
    promoted = promote(ledger, make, 1)
    epoch = remember(ledger, make, 2)
    assert (epoch.weights_sha256, epoch.edits) == (promoted.weights_sha256, promoted.edits)


def test_a_restart_gives_equal_epochs_facts_and_edits(open_ledger, make):
    before = open_ledger()
    remember(before, make, 1, 2)
    promote(before, make, 2)
    remember(before, make, 3)
    expected = before.epochs(), list(before.live().items()), before.edits(), before.refs()
    before.close()
    after = open_ledger()
    assert (after.epochs(), list(after.live().items()), after.edits(), after.refs()) == expected


def test_facts_are_listed_by_their_latest_change(ledger, make):
    remember(ledger, make, 1, 2, 3)
    promote(ledger, make, 1)
    assert [f.correction_id for f in ledger.live().values()] == ["c2", "c3", "c1"]
    assert list(ledger.live(2)) == list(ledger.live())


def test_the_same_facts_and_weights_have_the_same_state_hash(ledger, make):
    first = remember(ledger, make, 1)
    remember(ledger, make, 2)
    key = make.correction(2).key
    undone = ledger.commit(
        [Change(key, None)], kind="undo", reason="", edits=[], weights_sha256="", expected=2
    )
    assert undone.state_sha256 == first.state_sha256


def test_commit_refuses_when_another_epoch_is_serving(ledger, make):
    remember(ledger, make, 1)
    events = len(ledger.log())
    with pytest.raises(ConflictError, match="epoch 1 is serving, not 0"):
        promote(ledger, make, 1, expected=0)
    assert ledger.ref("serving") == 1
    assert len(ledger.log()) == events


@pytest.mark.parametrize("outcome", [Outcome.REJECT, Outcome.INCONCLUSIVE, Outcome.ERROR])
def test_commit_refuses_a_verdict_that_is_not_accept(ledger, make, outcome):
    remember(ledger, make, 1)
    with pytest.raises(UsageError, match=f"verdict is {outcome.value}"):
        promote(ledger, make, 1, verdict=make.verdict(outcome))
    assert ledger.ref("serving") == 1


def test_commit_refuses_two_edits_of_one_payload(ledger, make):
    remember(ledger, make, 1, 2)
    edits = [make.edit([f], b"same") for f in ledger.live().values()]
    with pytest.raises(UsageError, match="same payload"):
        promote(ledger, make, 1, edits=edits)


def test_the_same_payload_may_stand_for_other_facts_in_a_later_epoch(ledger, make):
    remember(ledger, make, 1, 2)
    one, two = ledger.live().values()
    promote(ledger, make, 1, edits=[make.edit([one], b"same")])
    promote(ledger, make, 2, edits=[make.edit([two], b"same")])
    assert ledger.edits()[0].facts == (two.id,)
    assert ledger.edits(2)[0].facts == (one.id,)
    assert ledger.verify() == []


def test_last_good_follows_memory_epochs_and_waits_for_the_watch_otherwise(ledger, make):
    remember(ledger, make, 1)
    assert ledger.refs() == {"last-good": 1, "serving": 1}
    promote(ledger, make, 1)
    assert ledger.refs() == {"last-good": 1, "serving": 2}
    remember(ledger, make, 2)
    assert ledger.refs() == {"last-good": 1, "serving": 3}
    ledger.move_ref("last-good", to=3, expected=1)
    remember(ledger, make, 3)
    assert ledger.refs() == {"last-good": 4, "serving": 4}


def test_moving_a_ref_is_a_compare_and_swap(ledger, make):
    remember(ledger, make, 1)
    ledger.move_ref("tested", to=0, expected=None)
    with pytest.raises(ConflictError, match="tested is at 0, not 1"):
        ledger.move_ref("tested", to=1, expected=1)
    ledger.move_ref("tested", to=1, expected=0)
    assert ledger.ref("tested") == 1


@pytest.mark.parametrize("name", ["serving", "", "7", "Ü", "a b", "x" * 80])
def test_some_names_are_no_refs_to_move(ledger, name):
    with pytest.raises(UsageError):
        ledger.move_ref(name, to=0, expected=None)


def test_what_does_not_exist_is_named(ledger):
    for ask, said in [
        (lambda: ledger.epoch(7), "no epoch 7"),
        (lambda: ledger.live(7), "no epoch 7"),
        (lambda: ledger.edits(7), "no epoch 7"),
        (lambda: ledger.ref("nightly"), "no ref 'nightly': known are last-good, serving"),
        (lambda: ledger.move_ref("tested", to=7, expected=None), "no epoch 7"),
    ]:
        with pytest.raises(UsageError, match=said):
            ask()


def test_history_lists_every_version_and_move_of_a_key(ledger, make):
    remember(ledger, make, 1)
    promote(ledger, make, 1)
    fact = next(iter(ledger.live().values()))
    ledger.commit([Change(fact.key, None)], kind="expire", reason="", edits=[], weights_sha256="", expected=2)
    found = ledger.history(fact.key)
    assert [(v.epoch, v.fact and v.fact.placement, v.correction_id) for v in found] == [
        (1, Placement.MEMORY, "c1"),
        (2, Placement.WEIGHTS, "c1"),
        (3, None, ""),
    ]
    assert ledger.history(FactKey("nobody", "nothing")) == []


def test_two_changes_of_a_key_in_one_batch_are_both_history_and_the_last_is_live(ledger, make):
    first, second = make.correction(1), make.correction(1, "Rome")
    ledger.commit(
        [Change(first.key, make.fact(first)), Change(first.key, make.fact(second, version=2))],
        kind="remember",
        reason="",
        edits=[],
        weights_sha256="",
        expected=0,
    )
    assert [v.fact.target for v in ledger.history(first.key)] == ["Paris", "Rome"]
    assert ledger.live()[first.key].target == "Rome"
    assert ledger.live(1) == ledger.live()
    assert ledger.latest_version(first.key) == 2
    assert ledger.latest_version(make.correction(9).key) == 0


def test_a_fact_is_found_by_id_or_subject_even_when_it_is_gone(ledger, make):
    remember(ledger, make, 1, 2)
    fact = make.fact(make.correction(1))
    assert ledger.find_fact(fact.id) == [fact]
    assert ledger.find_fact("Land 1") == [fact]
    ledger.commit(
        [Change(fact.key, None)], kind="retract", reason="", edits=[], weights_sha256="", expected=1
    )
    assert ledger.find_fact(fact.id) == [fact]
    assert ledger.find_fact("Land 1") == []


def test_a_remembered_edit_comes_back_byte_for_byte_and_a_newer_one_takes_its_place(open_ledger, make):
    ledger = open_ledger()
    edit = make.edit([make.fact(make.correction(1))], b"\x00second")
    ledger.remember_edits([("key", "group", make.edit([make.fact(make.correction(1))], b"first"))])
    for _ in range(2):
        ledger.remember_edits([("key", "group", edit)])
    assert len(list(ledger.events(kinds=["edits"]))) == 2
    ledger.close()
    again = open_ledger()
    assert again.recall_edit("key") == edit
    assert again.recall_edit("other") is None


def test_notes_are_events_and_their_verdicts_count(ledger, make):
    ledger.note("trial", {"verdict": make.verdict(Outcome.REJECT, 1.5).to_json(), "edits": ["d"]})
    ((_, kind, body),) = ledger.events(kinds=["trial"])
    assert (kind, body["edits"]) == ("trial", ["d"])
    assert ledger.counts().trials == {"reject": 1}


def test_a_number_that_is_undefined_stays_undefined(ledger):
    ledger.note("reading", {"ratio": math.nan})
    ((_, _, body),) = ledger.events(kinds=["reading"])
    assert math.isnan(body["ratio"])
    assert ledger.verify() == []


@pytest.mark.parametrize("kind", ["epoch", "settled"])
def test_notes_cannot_pose_as_the_ledgers_own_events(ledger, kind):
    with pytest.raises(UsageError, match="note another kind"):
        ledger.note(kind, {})


def test_a_note_must_be_plain_data(ledger):
    with pytest.raises(UsageError, match="plain JSON"):
        ledger.note("breach", {"what": object()})
    assert ledger.events(kinds=["breach"]) == []


def test_events_can_be_read_from_a_number_on(ledger):
    ledger.note("a", {})
    ledger.note("b", {"x": 1})
    last = ledger.events()[-1][0]
    assert ledger.events(since=last - 1) == [(last, "b", {"x": 1})]
    assert ledger.events(since=last) == []


def test_another_base_model_is_refused_by_name(open_ledger):
    open_ledger().close()
    with pytest.raises(WrongBaseModel, match=r"b{64}.*x{64}"):
        open_ledger(base_sha256="x" * 64)
    open_ledger()  # the failed opening gave the lock back


def test_a_second_coordinator_is_refused_with_the_first_ones_process(open_ledger):
    import os

    first = open_ledger()
    with pytest.raises(LedgerBusy, match=f"process {os.getpid()}"):
        open_ledger()
    first.close()
    open_ledger()


def test_a_new_ledger_needs_to_know_its_base_model(open_ledger):
    with pytest.raises(UsageError, match="base model"):
        open_ledger(base_sha256=None)


def test_a_folder_that_is_a_file_is_named(folder, open_ledger):
    folder.write_text("")
    with pytest.raises(LedgerError, match="state"):
        open_ledger()


def test_a_newer_format_is_refused(folder, open_ledger):
    import sqlite3

    open_ledger().close()
    with sqlite3.connect(folder / "ledger.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(LedgerError, match="format 99"):
        open_ledger()


def test_the_policy_in_force_is_recorded_with_each_epoch(open_ledger, make):
    open_ledger().close()
    ledger = open_ledger(policy_sha256="p2")
    remember(ledger, make, 1)
    assert [e.policy_sha256 for e in ledger.epochs()] == ["p1", "p2"]


def test_a_reader_follows_the_coordinator(open_ledger, make):
    writer, reader = open_ledger(), open_ledger(writer=False, base_sha256=None)
    assert reader.live() == {}
    remember(writer, make, 1)
    assert reader.live() == writer.live()
    assert reader.epoch() == writer.epoch()


def test_a_reader_may_not_change_facts(open_ledger, make):
    open_ledger()
    reader = open_ledger(writer=False)
    for write in [
        lambda: reader.settle([]),
        lambda: reader.note("x", {}),
        lambda: reader.move_ref("x", to=0, expected=None),
        lambda: reader.remember_edits([("k", "g", make.edit([make.fact(make.correction(1))]))]),
        lambda: promote(reader, make),
    ]:
        with pytest.raises(UsageError, match="opened for reading"):
            write()


def test_messages_can_be_sent_before_there_is_a_coordinator(open_ledger, make):
    sender = open_ledger(writer=False, base_sha256=None)
    assert sender.receive([make.delivery(1)]) == 1
    with pytest.raises(UsageError, match="start the coordinator"):
        sender.epoch()
    coordinator: SqliteLedger = open_ledger()
    assert [row.raw for row in coordinator.pending(9)] == [make.delivery(1).raw]
