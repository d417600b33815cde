from __future__ import annotations

from guardedit.ledger.journal import SqliteLedger


def test_what_is_held_is_listed_with_the_reason(guardedit, ledger_file):
    (said,) = guardedit("held", "list", "-o", "json").json

    assert (said["correction"], said["subject"], said["reason"]) == ("c3", "Land 3", "as ever")
    assert said["confidence"] == 0.1


def test_a_released_correction_waits_for_the_coordinator_and_may_pass(guardedit, home, ledger_file):
    said = guardedit("held", "release", "c3")

    assert said.out == "c3: released, waits for the coordinator\n"
    assert guardedit("held", "list").out == "nothing is held\n"
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert [row.seq for row in ledger.pending(10) if ledger.released(row.seq)] == [3]


def test_what_is_not_held_cannot_be_released(guardedit, ledger_file):
    said = guardedit("held", "release", "c1")

    assert said.code == 2
    assert "no correction 'c1' is held" in said.err
