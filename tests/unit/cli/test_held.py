from __future__ import annotations

import sqlite3

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


def test_a_held_message_that_can_be_read_no_more_does_not_hide_the_others(guardedit, home, ledger_file):
    with sqlite3.connect(ledger_file) as connection:
        connection.execute(
            "UPDATE messages SET raw = ?"
            " WHERE sha256 = (SELECT raw_sha256 FROM inbox WHERE fate = 'held')",
            (b'{"subject": 7}',),
        )
    connection.close()

    (said,) = guardedit("held", "list", "-o", "json").json

    assert (said["correction"], said["subject"]) == ("c3", None)
    assert "cannot be read: " in said["target"]
