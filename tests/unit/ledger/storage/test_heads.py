"""The end of the chain is noted outside the database, and a ledger that lost its end is refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.ledger.opening import anchor, read_only
from guardedit.ledger.storage import heads
from guardedit.ledger.storage.heads import Head, HeadFile

KEY = b"secret"


def lines(folder: Path) -> list[str]:
    return [line for line in (folder / "ledger.head").read_text().split("\n") if line]


def noted(folder: Path) -> Head:
    return HeadFile(folder).read()[-1]


@pytest.fixture
def openers(open_ledger, folder, make):
    """Everybody who opens a ledger: a coordinator, a sender, and somebody who only reads."""
    return [
        open_ledger,
        lambda **options: open_ledger(writer=False, **options),
        lambda **options: read_only(folder, clock=make.clock(), **options),
    ]


@pytest.fixture
def refused(openers):
    """Says that nobody opens the ledger, and each is told why."""

    def check(why: str, **options: object) -> None:
        for opener in openers:
            with pytest.raises(LedgerCorrupt, match=why):
                opener(**options)

    return check


@pytest.fixture
def sent(open_ledger, make) -> None:
    """A closed ledger with some events, of an epoch and of messages."""
    with open_ledger() as ledger:
        ledger.receive([make.delivery(1), make.delivery(2)])
        ledger.settle([make.accepted(row) for row in ledger.pending(9)])
        ledger.note("last", {})


def test_every_commit_is_noted_by_whoever_made_it(ledger, open_ledger, folder, make):
    def last() -> tuple[int, str]:
        row = ledger.log()[-1]
        return row.seq, row.hash

    assert noted(folder)[:2] == last()
    open_ledger(writer=False).receive([make.delivery(1)])
    assert noted(folder)[:2] == last()
    ledger.settle([make.accepted(row) for row in ledger.pending(9)])
    assert noted(folder)[:2] == last()
    before = lines(folder)
    ledger.receive([make.delivery(1)])  # nothing new
    assert lines(folder) == before


def test_a_ledger_that_goes_on_is_opened_again(sent, openers):
    for opener in openers:
        with opener() as ledger:
            assert ledger.verify() == []


def test_a_cut_end_is_refused(sent, folder, refused):
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
        connection.execute("DELETE FROM events WHERE kind = 'last'")
        connection.commit()
    refused(r"names event 7, the database ends at 6.*restore the folder from a backup")


def test_an_older_database_in_the_place_of_the_new_one_is_refused(sent, open_ledger, folder, refused):
    older = (folder / "ledger.db").read_bytes()
    with open_ledger() as ledger:
        ledger.note("later", {})
    (folder / "ledger.db").write_bytes(older)
    refused("names event 8, the database ends at 7")


def test_a_lost_write_ahead_log_is_refused(ledger, folder, make, tmp_path):
    ledger.receive([make.delivery(1)])
    copy = tmp_path / "copy"
    # As after a crash, and somebody tidied up.
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    for size in (None, 0):
        if size == 0:
            (copy / "ledger.db").write_bytes(b"")
        with pytest.raises(LedgerCorrupt, match=r"ledger\.head names event"):
            read_only(copy, clock=make.clock())


@pytest.mark.parametrize("kept", ["ledger.head", "objects"])
def test_a_missing_database_beside_what_belonged_to_it_is_refused(ledger, folder, make, refused, kept):
    ledger.remember_edits([("k", "g", make.edit([make.fact(make.correction(1))]))])
    ledger.close()
    (folder / "ledger.db").unlink()
    if kept == "objects":
        (folder / "ledger.head").unlink()
    refused("so the database was lost: restore the folder from a backup")
    assert not (folder / "ledger.db").exists()


def test_another_hash_is_refused(sent, folder, refused):
    text = (folder / "ledger.head").read_text()
    seq, digest, _ = noted(folder)
    (folder / "ledger.head").write_text(text.replace(digest, digest[::-1]))
    refused(f"names another hash for event {seq}")


def test_a_chain_that_was_forged_from_the_middle_on_is_refused(sent, folder, refused):
    """All hashes fit each other again; only the lines outside still know the old ones."""
    from guardedit.ledger.storage.chain import EventRow, event_hash

    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        rows = [EventRow(*row) for row in connection.execute("SELECT * FROM events ORDER BY seq")]
        for name in ("events_no_update", "events_no_delete"):
            connection.execute(f"DROP TRIGGER {name}")
        previous = rows[0].hash
        for row in rows[1:]:
            body = row.body.replace("Paris", "Rome!")
            digest = event_hash(seq=row.seq, at_s=row.at_s, kind=row.kind, body=body, prev_hash=previous)
            connection.execute(
                "UPDATE events SET body = ?, prev_hash = ?, hash = ? WHERE seq = ?",
                (body, previous, digest, row.seq),
            )
            previous = digest
        connection.commit()
    refused("names another hash for event")


def test_a_missing_file_of_heads_is_refused(sent, folder, refused):
    (folder / "ledger.head").unlink()
    refused("is missing or empty, so nothing shows whether events were cut off")
    (folder / "ledger.head").write_bytes(b"")
    refused("is missing or empty")


@pytest.mark.parametrize("text", ["rubbish\n", "1 abc -\n", "1 2 3 4\n", "\xff\xfe\n"])
def test_a_line_that_is_none_is_refused(sent, folder, refused, text):
    with (folder / "ledger.head").open("a", encoding="latin-1") as file:
        file.write(text)
    refused("is damaged")


@pytest.mark.parametrize("torn", ["9", "99 ", "99 00ff", f"99 {'a' * 64} ", "\0\0\0"])
def test_what_a_crash_left_of_a_line_is_harmless(sent, open_ledger, folder, torn):
    with (folder / "ledger.head").open("a") as file:
        file.write(torn)
    with open_ledger() as ledger:
        ledger.note("after", {})
        last = ledger.log()[-1]
    assert noted(folder)[:2] == (last.seq, last.hash)
    with open_ledger() as ledger:
        assert ledger.verify() == []


def test_dying_between_commit_and_note_is_harmless(sent, open_ledger, folder):
    (folder / "ledger.head").write_text("\n".join(lines(folder)[:-1]) + "\n")
    with open_ledger() as ledger:
        assert ledger.verify() == []
        ledger.note("after", {})
    assert noted(folder).seq == 8


def test_a_note_that_cannot_be_made_keeps_the_commit_and_refuses_the_next(ledger, folder):
    head, aside = folder / "ledger.head", folder / "aside"
    head.rename(aside)
    head.mkdir()  # also for root no file to write to
    ledger.note("first", {})
    with pytest.raises(LedgerError, match=r"ledger\.(head|db)"):
        ledger.note("second", {})
    head.rmdir()
    aside.rename(head)
    ledger.note("third", {})
    assert [kind for _, kind, _ in ledger.events(since=1)] == ["first", "third"]
    assert [head.seq for head in HeadFile(folder).read()[-2:]] == [2, 3]


def test_the_file_stays_short(ledger, open_ledger, folder, monkeypatch):
    monkeypatch.setattr(heads, "LARGE_BYTES", 1_000)
    for _ in range(30):
        ledger.note("again", {})
        assert (folder / "ledger.head").stat().st_size <= 1_200
    ledger.close()
    assert open_ledger().verify() == []


class TestSigned:
    """With a key nobody without it can make database and file agree on something else."""

    @pytest.fixture
    def signed(self, open_ledger, make) -> None:
        with open_ledger(key=KEY) as ledger:
            ledger.receive([make.delivery(1)])

    def test_the_same_key_opens_it(self, signed, openers):
        for opener in openers:
            with opener(key=KEY) as ledger:
                assert ledger.verify() == []

    def test_another_key_is_refused(self, signed, refused):
        refused("wrong signature at event 0.*GUARDEDIT_LEDGER_KEY", key=b"other")

    def test_a_changed_line_is_refused(self, signed, folder, refused):
        seq, digest, _ = noted(folder)
        text = (folder / "ledger.head").read_text()
        (folder / "ledger.head").write_text(text.replace(f"{seq} {digest}", f"{seq - 1} {digest}"))
        refused(f"wrong signature at event {seq - 1}", key=KEY)

    def test_a_line_without_signature_is_refused(self, signed, folder, refused):
        HeadFile(folder).append(1, "a" * 64)
        refused("not signed at event 1", key=KEY)

    def test_who_writes_needs_the_key_and_who_reads_does_not(self, signed, open_ledger, folder, make):
        for writer in (True, False):
            with pytest.raises(LedgerError, match="is signed: set GUARDEDIT_LEDGER_KEY"):
                open_ledger(writer=writer)
        with read_only(folder, clock=make.clock()) as reader:
            assert reader.verify() == []

    def test_a_key_that_came_later_is_refused_until_the_ledger_is_anchored_anew(
        self, sent, folder, open_ledger, refused
    ):
        refused("is not signed at event 0, but a key is set", key=KEY)
        anchor(folder, key=KEY)
        with open_ledger(key=KEY) as ledger:
            assert ledger.verify() == []
        assert noted(folder).signature != "-"
