from __future__ import annotations

from guardedit.core.correction import Correction
from guardedit.core.messages import Delivery, Fate, Settlement
from guardedit.ledger.sqlite_ledger import SqliteLedger


def test_what_is_held_is_listed_with_the_reason(guardedit, ledger_file):
    (result,) = guardedit("held", "list", "-o", "json").json

    assert (result["correction"], result["subject"], result["reason"]) == ("c3", "Land 3", "as ever")
    assert result["confidence"] == 0.1
    assert (result["op"], result["tenant"], result["tags"], result["valid_until_s"]) == (
        "upsert",
        "default",
        [],
        None,
    )
    assert {"op", "more", "prompt"} <= set(guardedit("held", "list").out.splitlines()[0].lower().split())


def test_a_released_correction_waits_for_the_coordinator_and_may_pass(guardedit, home, ledger_file):
    result = guardedit("held", "approve", "c3")

    assert result.out == "c3: 1 of 1 approved (by command-line); released, waits for the coordinator\n"
    assert guardedit("held", "list").out == "nothing is held\n"
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert [row.seq for row in ledger.pending(10) if ledger.released(row.seq)] == [3]


def test_what_is_not_held_cannot_be_released(guardedit, ledger_file):
    result = guardedit("held", "approve", "c1")

    assert result.code == 2
    assert "no correction 'c1' is held" in result.err


def test_a_held_message_that_can_be_read_no_more_does_not_hide_the_others(guardedit, home, ledger_file):
    # An older version read it, and a later one is stricter.
    raw = b'{"id": "old", "subject": 7}'
    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0) as ledger:
        ledger.receive([Delivery(raw=raw, source="submit", position="g:1")])
        row = next(row for row in ledger.pending(10) if row.raw == raw)
        old = Correction(id="old", subject="Land", prompt="{} is", target_new="Rome")
        ledger.settle([Settlement(seq=row.seq, fate=Fate.HELD, reason="doubtful", correction=old)])

    one, other = guardedit("held", "list", "-o", "json").json

    assert (one["correction"], other["correction"], other["subject"]) == ("c3", "old", None)
    assert "cannot be read: " in other["target"]
