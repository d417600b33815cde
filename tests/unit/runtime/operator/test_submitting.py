from __future__ import annotations

import io

import pytest

from guardedit.core.errors import StorageFull
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.operator import submitting
from guardedit.runtime.operator.submitting import Submitted, submit_lines


@pytest.fixture
def inbox(tmp_path):
    with SqliteLedger.open(tmp_path, clock=lambda: 1.0, writer=False) as ledger:
        yield ledger


def lines(count: int) -> io.BytesIO:
    return io.BytesIO(b"".join(b'{"id": "%d"}\n' % n for n in range(count)))


def test_totals_grow_with_every_transaction_and_repeated_lines_are_not_new(inbox, monkeypatch):
    monkeypatch.setattr(submitting, "CHUNK", 2)

    first = list(submit_lines(inbox, lines(3), name="f", submission="s"))
    again = list(submit_lines(inbox, lines(4), name="f", submission="s"))

    assert first == [Submitted(lines=2, new=2), Submitted(lines=3, new=3)]
    assert [(one.lines, one.new, one.redelivered) for one in again] == [(2, 0, 2), (4, 1, 3)]
    assert len(inbox.pending(10)) == 4


def test_nothing_to_read_yields_no_totals(inbox):
    assert list(submit_lines(inbox, lines(0), name="f", submission="s")) == []


def test_what_was_yielded_before_a_failure_is_in_the_inbox(inbox, monkeypatch):
    monkeypatch.setattr(submitting, "CHUNK", 2)
    totals = submit_lines(inbox, lines(4), name="f", submission="s")
    assert next(totals) == Submitted(lines=2, new=2)

    def full(_deliveries):
        raise StorageFull("disk")

    monkeypatch.setattr(inbox, "receive", full)
    with pytest.raises(StorageFull):
        next(totals)
    assert len(inbox.pending(10)) == 2
