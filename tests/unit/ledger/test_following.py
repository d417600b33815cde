"""One moment and the next: snapshots, what changed since, and decisions that came too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.fact import Placement
from guardedit.core.messages import Fate
from guardedit.core.serving import Snapshot, Update


def remember(ledger, make, *numbers):
    ledger.receive([make.delivery(n) for n in numbers])
    return ledger.settle([make.accepted(row) for row in ledger.pending(100)])


def promote(ledger, make, **options):
    """All facts into the weights."""
    facts = list(ledger.live().values())
    return ledger.commit(
        [Change(f.key, f.placed(Placement.WEIGHTS)) for f in facts],
        kind="promote",
        reason="",
        edits=[make.edit([f]) for f in facts],
        weights_sha256=f"w{len(facts)}",
        expected=ledger.ref("serving"),
        **options,
    )


def waiting(ledger, make, n, **options):
    """A settlement for a message that waits."""
    ledger.receive([make.delivery(n, **options)])
    return make.accepted(ledger.pending(9)[0])


def test_a_snapshot_is_epoch_edits_and_facts_of_one_moment(ledger, make):
    remember(ledger, make, 1)
    old = promote(ledger, make)
    earlier = ledger.snapshot()
    assert earlier == Snapshot(epoch=old, edits=ledger.edits(), facts=tuple(ledger.live().values()))
    remember(ledger, make, 2)
    assert ledger.snapshot(old.number) == earlier
    assert len(ledger.snapshot().facts) == 2
    with pytest.raises(UsageError, match="no epoch 9"):
        ledger.snapshot(9)


def test_a_snapshot_never_mixes_two_epochs_while_another_writes(ledger, open_ledger, make, monkeypatch):
    reader = open_ledger(writer=False)
    remember(ledger, make, 1)
    read = reader.edits
    # Somebody commits between the epoch and what belongs to it.
    monkeypatch.setattr(reader, "edits", lambda number=None: (remember(ledger, make, 2), read(number))[1])
    taken = reader.snapshot()
    assert (taken.epoch.number, len(taken.facts)) == (1, 1)


def test_changes_since_name_each_key_once_in_its_latest_state(ledger, make):
    remember(ledger, make, 1, 2)
    promote(ledger, make)
    remember(ledger, make, 3)
    gone = make.correction(1).key
    ledger.change_facts([Change(gone, None)], kind="retract", reason="")
    live = ledger.live()
    changes = ledger.changes_since(1)
    assert [change.key for change in changes] == [*(key for key in live if key != gone), gone]
    assert all(change.fact == live.get(change.key) for change in changes)
    assert ledger.changes_since(ledger.ref("serving")) == []
    with pytest.raises(UsageError, match="no epoch 9"):
        ledger.changes_since(9)


def test_an_update_says_that_weights_stay_by_naming_no_edits(ledger, make):
    remember(ledger, make, 1)
    promoted = promote(ledger, make)
    epoch = remember(ledger, make, 2)
    changes = tuple(ledger.changes_since(promoted.number))
    assert ledger.update(promoted.number) == Update(after=promoted.number, epoch=epoch, changes=changes)
    assert ledger.update(1).edits == ledger.edits()
    assert ledger.update(epoch.number) == Update(after=epoch.number, epoch=epoch)


def test_facts_change_on_top_of_whatever_serves_and_the_weights_stay(ledger, make):
    remember(ledger, make, 1, 2)
    promoted = promote(ledger, make)
    epoch = ledger.change_facts([Change(make.correction(1).key, None)], kind="expire", reason="its time")
    assert (epoch.kind, epoch.reason) == ("expire", "its time")
    assert (epoch.edits, epoch.weights_sha256) == (promoted.edits, promoted.weights_sha256)
    assert [f.correction_id for f in ledger.live().values()] == ["c2"]
    assert ledger.change_facts([], kind="expire", reason="") == epoch


@pytest.mark.parametrize(("good", "expected"), [(None, 1), (0, 0), (1, 1), (2, 2)])
def test_a_commit_may_move_last_good(ledger, make, good, expected):
    remember(ledger, make, 1)
    promote(ledger, make, last_good=good)
    assert ledger.ref("last-good") == expected


def test_last_good_stays_behind_where_it_is_told_to_although_the_weights_stay(ledger, make):
    remember(ledger, make, 1)
    ledger.commit([], kind="rollback", reason="", edits=[], weights_sha256="", expected=1, last_good=0)
    assert ledger.refs() == {"last-good": 0, "serving": 2}


@pytest.mark.parametrize("good", [-1, 3])
def test_last_good_is_an_epoch_that_there_is(ledger, make, good):
    remember(ledger, make, 1)
    with pytest.raises(UsageError, match=f"epoch {good} cannot be last-good"):
        promote(ledger, make, last_good=good)
    assert ledger.ref("serving") == 1


def test_a_decision_on_facts_that_are_gone_is_refused(ledger, make):
    remember(ledger, make, 1)
    late = waiting(ledger, make, 1, target="Rome")
    late = replace(late, correction=replace(late.correction, id="late"))
    ledger.change_facts([Change(late.change.key, None)], kind="undo", reason="")
    with pytest.raises(ConflictError, match="has changed since epoch 1"):
        ledger.settle([late], seen=1)
    assert ledger.pending(9)
    ledger.settle([late], seen=2)


def test_what_was_unchanged_is_refused_when_the_fact_that_said_so_is_gone(ledger, make):
    remember(ledger, make, 1)
    ledger.receive([make.delivery(1, position="again")])
    said = make.settled(ledger.pending(9)[0], Fate.UNCHANGED)
    # Another spelling of the name that is gone.
    said = replace(said, correction=replace(said.correction, id="again", subject="LAND 1"))
    ledger.change_facts([Change(make.correction(1).key, None)], kind="undo", reason="")
    with pytest.raises(ConflictError):
        ledger.settle([said], seen=1)


def test_moves_between_placements_and_other_facts_are_no_conflict(ledger, make):
    remember(ledger, make, 1)
    late = waiting(ledger, make, 1, target="Rome")
    late = replace(late, correction=replace(late.correction, id="late"))
    promote(ledger, make)
    other = make.correction(2)
    ledger.change_facts([Change(other.key, make.fact(other))], kind="redo", reason="")
    assert ledger.settle([late], seen=1).number == 4


def test_the_edit_that_last_stood_for_a_group_is_served_again(ledger, make):
    facts = [make.fact(make.correction(n)) for n in (1, 2)]
    first, second, never = (make.edit(facts, payload) for payload in (b"first", b"second", b"never"))
    made = [("k1", "group", first), ("k2", "group", second), ("k3", "group", never)]
    ledger.remember_edits(made)
    assert ledger.served_edit("group") is None
    for expected, edit in enumerate([first, second]):
        ledger.commit(
            [], kind="promote", reason="", edits=[edit], weights_sha256=f"{expected}", expected=expected
        )
        assert ledger.served_edit("group") == edit
    ledger.commit([], kind="demote", reason="", edits=[], weights_sha256="", expected=2)
    assert ledger.served_edit("group") == second
    # What a content key stands for may change; what stood in an epoch does not.
    ledger.remember_edits([("k2", "group", never)])
    assert ledger.recall_edit("k2") == never
    assert ledger.served_edit("group") == second
    assert ledger.served_edit("other") is None


def test_the_edits_of_one_proposal_are_one_commit(ledger, make):
    said: list[str] = []
    ledger._database._connection.set_trace_callback(said.append)
    facts = [make.fact(make.correction(n)) for n in range(20)]
    ledger.remember_edits([(f"k{n}", f"g{n}", make.edit([fact])) for n, fact in enumerate(facts)])
    ledger._database._connection.set_trace_callback(None)
    assert said.count("COMMIT") == 1
    assert ledger.recall_edit("k19") == make.edit([facts[19]])


def test_a_released_fact_must_be_live(ledger, open_ledger, make):
    remember(ledger, make, 1)
    fact = next(iter(ledger.live().values()))
    open_ledger(writer=False).release_fact(fact.id)
    assert [body for _, _, body in ledger.events(kinds=["fact_released"])] == [{"facts": [fact.id]}]
    ledger.change_facts([Change(fact.key, None)], kind="undo", reason="")
    for gone in (fact.id, "nothing"):
        with pytest.raises(UsageError, match=f"no live fact has the id '{gone}'"):
            ledger.release_fact(gone)
