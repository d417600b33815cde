"""The live and the consolidating cycle on one ledger at once, in one process or in two."""

from __future__ import annotations

import os
import threading

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError, LedgerBusy, UsageError
from guardedit.core.fact import Placement
from guardedit.ledger import state
from guardedit.ledger.storage.lock import CoordinatorLock, DriverLock


@pytest.fixture
def two(open_ledger):
    return open_ledger(role="live"), open_ledger(role="consolidate")


def remember(ledger, make, *numbers):
    ledger.receive([make.delivery(n) for n in numbers])
    return ledger.settle([make.accepted(row) for row in ledger.pending(1_000)])


def promote(ledger, make, *, expected):
    facts = [f for f in ledger.live(expected).values() if f.placement is Placement.MEMORY][:3]
    edits = [*ledger.edits(expected), *(make.edit([fact]) for fact in facts)]
    return ledger.commit(
        [Change(f.key, f.placed(Placement.WEIGHTS)) for f in facts],
        kind="promote",
        reason="",
        edits=edits,
        weights_sha256=f"w{len(edits)}",
        expected=expected,
    )


@pytest.mark.parametrize(
    ("first", "second", "free"),
    [
        ("live", "consolidate", True),
        ("live", "live", False),
        ("consolidate", "consolidate", False),
        ("both", "live", False),
        ("consolidate", "both", False),
        ("both", "both", False),
    ],
)
def test_each_cycle_has_one_writer_at_a_time(open_ledger, first, second, free):
    ledger = open_ledger(role=first)
    if not free:
        with pytest.raises(LedgerBusy, match=f"process {os.getpid()}"):
            open_ledger(role=second)
        ledger.close()
    open_ledger(role=second)


def test_a_refused_coordinator_keeps_no_lock(open_ledger, folder):
    open_ledger(role="consolidate")
    with pytest.raises(LedgerBusy):
        open_ledger(role="both")
    CoordinatorLock(folder, "live").release()


def test_there_are_no_other_roles(open_ledger):
    with pytest.raises(UsageError, match="no role 'reader'"):
        open_ledger(role="reader")


def test_either_cycle_may_begin_the_ledger(open_ledger):
    consolidating = open_ledger(role="consolidate")
    assert open_ledger(role="live").epochs() == consolidating.epochs()


def test_each_sees_what_the_other_committed(two, make):
    live, consolidating = two
    remember(live, make, 1, 2)
    assert consolidating.live() == live.live()
    promoted = promote(consolidating, make, expected=1)
    assert live.snapshot() == consolidating.snapshot()
    assert remember(live, make, 3).edits == promoted.edits
    assert consolidating.snapshot() == live.snapshot()
    assert live.verify() == []


def test_only_what_changed_is_read_of_what_the_other_committed(two, make, monkeypatch):
    live, consolidating = two
    remember(live, make, *range(50))
    consolidating.live()
    read = []
    monkeypatch.setattr(
        state, "read_fact", lambda text, real=state.read_fact: (read.append(text), real(text))[1]
    )
    remember(live, make, 50)
    assert consolidating.live() == live.live()
    assert len(read) == 1


def test_a_commit_on_an_epoch_that_serves_no_more_is_refused(two, make):
    live, consolidating = two
    remember(live, make, 1)
    remember(live, make, 2)
    with pytest.raises(ConflictError, match="epoch 2 is serving, not 1"):
        promote(consolidating, make, expected=1)
    assert promote(consolidating, make, expected=2).number == 3


def test_the_live_cycle_makes_no_new_edits_and_keeps_old_ones(two, make):
    live, consolidating = two
    remember(live, make, 1)
    fact = next(iter(live.live().values()))
    with pytest.raises(UsageError, match="no new weight edits"):
        live.remember_edits([("k", "g", make.edit([fact]))])
    promote(consolidating, make, expected=1)
    live.commit([], kind="undo", reason="", edits=live.edits(), weights_sha256="w1", expected=2)


def test_both_may_write_at_once_and_nothing_is_lost(two, make):
    live, consolidating = two
    rounds, promoted, failed = 60, [], []

    def consolidate() -> None:
        try:
            while len(promoted) < 15:
                try:
                    promoted.append(promote(consolidating, make, expected=consolidating.ref("serving")))
                except ConflictError:
                    continue  # a correction was faster
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failed.append(error)

    thread = threading.Thread(target=consolidate)
    thread.start()
    for n in range(rounds):
        remember(live, make, n)
    thread.join(timeout=60)
    assert failed == []
    assert len(live.live()) == rounds
    assert live.snapshot() == consolidating.snapshot()
    assert [epoch.number for epoch in live.epochs()] == list(range(rounds + 15 + 1))
    assert {decode_correction(e.raw).id for e in live.entries()} == {f"c{n}" for n in range(rounds)}
    assert live.verify() == []


def test_one_driver_turns_the_cycles_of_a_folder(tmp_path):
    with DriverLock(tmp_path), pytest.raises(LedgerBusy, match=rf"process {os.getpid()} \(its driver\)"):
        DriverLock(tmp_path)
    with DriverLock(tmp_path):
        pass
