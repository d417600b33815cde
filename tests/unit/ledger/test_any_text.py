"""No text that came with a message makes a write fail, and no row that cannot be read ends a listing."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import CorrectionError, Unrecordable, UsageError
from guardedit.core.fact import FactKey
from guardedit.core.messages import Delivery, Fate

ODD = ["\ud800", "a\udfff", "nul\0inside", "\0", "\u202e", "😀", "\ud83d", "'; DROP TABLE facts", "\\ud800"]
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=20)


def waiting(ledger, make, n=1):
    ledger.receive([make.delivery(n)])
    return ledger.pending(9)[-1]


@pytest.mark.parametrize("text", [*ODD, "x" * 10_000_000], ids=lambda text: ascii(text[:12]))
def test_any_text_may_be_a_source_a_position_and_a_reason(ledger, make, text):
    ledger.receive([Delivery(raw=text.encode("utf-8", "surrogatepass"), source=text, position=text)])
    (row,) = ledger.pending(9)
    ledger.settle([make.settled(row, Fate.DEAD, f"malformed: {text}")])
    (letter,) = ledger.dead_letters()
    assert letter.raw == text.encode("utf-8", "surrogatepass")
    assert letter.reason == "malformed"
    letter.message.encode()
    assert ledger.counts().dead_letters == 1
    assert ledger.verify() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), raw=st.binary(max_size=20))
def test_whatever_is_received_is_settled_and_listed(ledger, make, texts, raw):
    source, position, reason, name = texts
    ledger.receive([Delivery(raw=raw, source=source, position=position)])
    for row in ledger.pending(9):
        said = make.settled(row, Fate.DEAD, reason)
        decision = replace(make.decision(Route.REJECT), rule=name, reason=reason)
        ledger.settle([replace(said, decision=decision, reach=(name, source))])
    ledger.note("said", {name: [reason, {"deep": (source,)}]})
    assert all(entry.fate is Fate.DEAD for entry in ledger.entries(limit=-1))
    assert ledger.corrections_reaching([name], since_s=0) == 0


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_any_text_may_be_asked_for(ledger, text):
    key = FactKey(text, text, text)
    assert ledger.decided_content(text) is None
    assert ledger.receipt(text) is None
    assert ledger.find_fact(text) == []
    assert ledger.canonical(key) == key
    assert ledger.last_change(key) is None
    assert ledger.recall_edit(text) is None
    for ask in (ledger.release, ledger.release_fact, ledger.ref):
        with pytest.raises(UsageError):
            ask(text)


def test_a_number_of_any_size_may_be_asked_for(ledger):
    for ask in (ledger.epoch, ledger.live, ledger.snapshot, ledger.changes_since, ledger.dead_letter):
        with pytest.raises(UsageError):
            ask(10**30)


@pytest.mark.parametrize("text", ["\ud800", "x\udcff"])
def test_a_settlement_that_cannot_be_written_is_named_and_the_others_are_not_lost(ledger, make, text):
    first, bad, third = (waiting(ledger, make, n) for n in range(3))
    settlements = [make.accepted(row) for row in (first, bad, third)]
    odd = replace(settlements[1].correction, target_new=text)
    settlements[1] = replace(settlements[1], correction=odd, change=Change(odd.key, make.fact(odd)))
    with pytest.raises(Unrecordable, match=f"inbox row {bad.seq} cannot be written down") as raised:
        ledger.settle(settlements)
    assert isinstance(raised.value, CorrectionError)
    assert raised.value.seq == bad.seq
    assert len(ledger.pending(9)) == 3
    letter = make.settled(bad, Fate.DEAD, f"{raised.value.reason}: {raised.value}")
    epoch = ledger.settle([settlements[0], letter, settlements[2]])
    assert len(ledger.live()) == 2
    assert epoch.number == 1
    assert [letter.reason for letter in ledger.dead_letters()] == ["unrecordable"]
    assert ledger.verify() == []


@pytest.mark.parametrize(
    "odd", [10**5000, object(), [[]] * 3, {"deep": {1, 2}}], ids=lambda x: type(x).__name__
)
def test_a_decision_that_is_no_plain_data_is_named(ledger, make, odd):
    row = waiting(ledger, make)
    said = make.accepted(row)
    bad = replace(said, decision=replace(said.decision, trace=(odd,)))
    if isinstance(odd, list):
        ledger.settle([bad])
        return
    with pytest.raises(Unrecordable):
        ledger.settle([bad])
    assert ledger.pending(9) == [row]


def test_a_note_nested_too_deep_is_refused_by_name(ledger):
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="plain JSON"):
        ledger.note("deep", {"body": deep})


@contextlib.contextmanager
def damaging(ledger):
    with contextlib.closing(sqlite3.connect(ledger._database.path)) as connection:
        yield connection
        connection.commit()


def test_an_unknown_fate_is_listed_as_unreadable(ledger, make):
    for n in range(3):
        ledger.settle([make.settled(waiting(ledger, make, n), Fate.DEAD, "malformed: no")])
    with damaging(ledger) as connection:
        connection.execute("UPDATE inbox SET fate = 'lost' WHERE seq = 2")
    assert [entry.reason[:10] for entry in ledger.entries()] == ["malformed:", "unreadable", "malformed:"]
    assert len(ledger.dead_letters()) == 2
    assert ledger.verify()


@pytest.mark.parametrize("text", ["CAST(x'ff00fe' AS TEXT)", "'{'", "'null'", "'[]'"])
def test_rows_that_cannot_be_read_are_left_out_of_a_history_and_found_by_verify(ledger, make, text):
    ledger.settle([make.accepted(waiting(ledger, make, 1))])
    key = make.correction(1).key
    ledger.change_facts([Change(key, None)], kind="undo", reason="")
    with damaging(ledger) as connection:
        connection.execute(f"UPDATE changes SET fact = {text} WHERE epoch = 1")
    assert [version.fact for version in ledger.history(key)] == [None]
    assert ledger.verify()


def test_text_that_is_no_utf8_is_listed(ledger, make):
    ledger.settle([make.settled(waiting(ledger, make, 1), Fate.DEAD, "malformed: no")])
    with damaging(ledger) as connection:
        connection.execute(
            "UPDATE inbox SET reason = CAST(x'6d3a20ff' AS TEXT), position = CAST(x'ff' AS TEXT)"
        )
    (letter,) = ledger.dead_letters()
    assert (letter.message, letter.position) == ("\\xff", "\\xff")
    assert len(ledger.entries()) == 1
    assert ledger.verify()
