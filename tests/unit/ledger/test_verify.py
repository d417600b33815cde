"""Damage of every kind is found and named, and nothing that is sound is accused."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.core.fact import Placement
from guardedit.core.messages import Delivery, Fate
from guardedit.ledger.opening import read_only
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage.chain import EventRow, event_hash
from guardedit.ledger.storage.database import schema
from guardedit.ledger.storage.heads import HeadFile

COLUMNS = [
    (table, row[1])
    for connection in [sqlite3.connect(":memory:")]
    for _ in [connection.executescript(schema())]
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for row in connection.execute(f"PRAGMA table_info({table})").fetchall()
]


@pytest.fixture
def full(template, folder) -> Path:
    """A closed ledger with rows in every table, to be damaged."""
    return Path(shutil.copytree(template, folder))


@pytest.fixture(scope="module")
def template(tmp_path_factory, make) -> Path:
    folder = tmp_path_factory.mktemp("template")
    ledger = SqliteLedger.open(folder, base_sha256=make.base, policy_sha256="p1", clock=make.clock())
    ledger.receive([make.delivery(n) for n in range(1, 5)])
    ledger.receive([Delivery(raw=b"{", source="file", position="facts.jsonl:5")])
    one, two, three, four, five = ledger.pending(9)
    ledger.settle([make.accepted(one), make.accepted(two)])
    ledger.settle([make.settled(five, Fate.DEAD, "malformed: no"), make.settled(four, Fate.HELD)])
    ledger.settle([make.settled(three, Fate.REJECTED, "no", route=Route.REJECT)])
    facts = list(ledger.live().values())
    edits = [make.edit([fact]) for fact in facts]
    ledger.remember_edits([("key", "group", edits[0])])
    ledger.commit(
        [Change(fact.key, fact.placed(Placement.WEIGHTS)) for fact in facts],
        kind="promote",
        reason="accepted",
        edits=edits,
        weights_sha256="w2",
        expected=1,
        verdict=make.verdict(),
    )
    ledger.record_phase("fleet", "a", "earlier", epoch=1, phase="confirmed")
    ledger.record_activation("fleet", "earlier", epoch=1)
    ledger.record_phase("fleet", "a", "adapter", epoch=2, phase="confirmed")
    ledger.record_activation("fleet", "adapter", epoch=2)
    ledger.record_publish_problem("fleet", "b", "cannot be reached")
    ledger.commit(
        [Change(facts[1].key, None)],
        kind="rollback",
        reason="drift: enough",
        edits=edits[:1],
        weights_sha256="w1",
        expected=2,
    )
    ledger.move_ref("release", to=ledger.ref("serving"), expected=None)
    assert ledger.verify() == []
    ledger.close()
    return folder


@contextlib.contextmanager
def tampering(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody who knows SQLite and takes the triggers away for a moment."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.execute("COMMIT")
        connection.executescript(f"BEGIN; {schema()} COMMIT;")


def problems(folder: Path) -> list[str]:
    """What `verify` finds, or why the ledger is not even opened."""
    try:
        with read_only(folder, clock=lambda: 0.0) as reader:
            return reader.verify()
    except LedgerCorrupt as error:
        return [str(error)]


def renew_heads(folder: Path) -> None:
    """As somebody would who knows of `ledger.head` and has no key to mind."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as connection:
        seq, digest = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    HeadFile(folder).reset(seq, digest)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_value_in_any_column_is_found(full, table, column):
    with tampering(full) as connection:
        kinds = f"SELECT typeof({column}) FROM {table} ORDER BY {column} IS NULL LIMIT 1"
        (kind,) = connection.execute(kinds).fetchone()
        change = {
            "integer": f"{column} + 1",
            "real": f"{column} + 0.5",
            "text": f"{column} || 'x'",
            "null": "'x'",
            "blob": f"CAST(substr({column}, 2) AS BLOB)",
        }[kind]
        last = f"SELECT rowid FROM {table} WHERE typeof({column}) = '{kind}' ORDER BY rowid DESC LIMIT 1"
        changed = connection.execute(f"UPDATE {table} SET {column} = {change} WHERE rowid = ({last})")
        assert changed.rowcount == 1
    found = problems(full)
    named = "event" if table == "events" else table  # by `ledger.head`, before there is a look at the tables
    assert any(named in said for said in found), found


@pytest.mark.parametrize("table", sorted({table for table, _ in COLUMNS}))
def test_a_removed_row_is_found(full, table):
    with tampering(full) as connection:
        connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    assert problems(full)


def test_a_cut_off_end_of_the_events_is_found_while_its_effects_stand(full):
    with tampering(full) as connection:
        connection.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    renew_heads(full)
    assert any(said.startswith("refs:") for said in problems(full))


def rehashed(row: EventRow, **changes: object) -> EventRow:
    """The row with changes and a hash of its own that fits them."""
    row = row._replace(**changes)
    told = row._asdict()
    del told["hash"]
    return row._replace(hash=event_hash(**told))


@pytest.mark.parametrize("what", ["another story", "another predecessor", "one put in at the end"])
def test_a_forged_row_with_a_fitting_hash_is_found_by_its_neighbours(full, what):
    with tampering(full) as connection:
        rows = [EventRow(*row) for row in connection.execute("SELECT * FROM events ORDER BY seq")]
        victim = next(row for row in rows if row.kind == "ref")
        match what:
            case "another story":
                victim = next(row for row in rows if row.kind == "received")
                forged = rehashed(victim, at_s=victim.at_s + 1)
            case "another predecessor":
                forged = rehashed(victim, prev_hash="f" * 64)
            case _:
                forged = rehashed(victim, seq=len(rows) + 1, kind="breach", body="{}", prev_hash="f" * 64)
        connection.execute("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)", forged)
    renew_heads(full)
    found = [said for said in problems(full) if "does not follow the row before it" in said]
    place = victim.seq + 1 if what == "another story" else forged.seq
    assert found == [f"events: row {place} does not follow the row before it"]


def test_a_dropped_trigger_is_found(full):
    with contextlib.closing(sqlite3.connect(full / "ledger.db")) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
    assert any("events_no_delete" in said for said in problems(full))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET kind = 'x'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT seq, at_s, 'x', body, prev_hash, hash FROM events",
        "INSERT INTO events VALUES (100, 0, 'x', '{}', '', '')",
        "UPDATE messages SET raw = x'00'",
        "DELETE FROM messages",
    ],
)
def test_events_and_messages_are_append_only(full, sql):
    with (
        contextlib.closing(sqlite3.connect(full / "ledger.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(sql)


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "flipped":
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["truncated", "flipped", "missing"])
def test_a_damaged_blob_is_named_and_never_served(full, open_ledger, kind):
    ledger = open_ledger()
    path = ledger._blobs.path(ledger.epoch().edits[0])
    damage(path, kind)
    with pytest.raises(LedgerCorrupt, match=f"{path.name}.*restore it from a backup"):
        ledger.edits()
    assert [str(path) in said for said in ledger.verify()] == [True]


def test_a_damaged_blob_is_replaced_when_its_bytes_come_again(folder, open_ledger, make):
    ledger = open_ledger()
    edit = make.edit([make.fact(make.correction(1))])
    path = ledger._blobs.path(edit.digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(edit.payload[:10])  # left by somebody else's crash, no row names it
    ledger.remember_edits([("key", "group", edit)])
    assert ledger.recall_edit("key") == edit


def test_what_a_crash_left_half_written_is_swept_up(full, open_ledger):
    leftover = full / "objects" / "ab" / ".tmp-cdef"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    open_ledger()
    assert not leftover.exists()


@pytest.mark.parametrize("text", [b"this is not a database, it only lies where one should be" * 20, b"x"])
def test_a_file_that_is_no_database_is_named(folder, open_ledger, text):
    folder.mkdir()
    (folder / "ledger.db").write_bytes(text)
    with pytest.raises(LedgerCorrupt, match=r"ledger\.db is damaged"):
        open_ledger()


def test_changed_facts_are_refused_at_the_start(full, open_ledger):
    with tampering(full) as connection:
        connection.execute("UPDATE changes SET fact = replace(fact, 'Paris', 'Rome!') WHERE epoch = 2")
    with pytest.raises(LedgerCorrupt, match="epoch 3 have state hash"):
        open_ledger()


def test_a_lost_database_beside_blobs_is_not_mistaken_for_a_new_ledger(full, open_ledger):
    (full / "ledger.db").write_bytes(b"")
    with pytest.raises(LedgerCorrupt, match="lost"):
        open_ledger()
    (full / "ledger.db").unlink()
    with pytest.raises(LedgerCorrupt, match="lost"):
        open_ledger()


def contents(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return {t: connection.execute(f"SELECT * FROM {t}").fetchall() for t in {t for t, _ in COLUMNS}}


def test_a_flipped_bit_anywhere_in_the_file_is_found_or_changes_nothing(full, folder):
    expected, random_ = contents(full), random.Random(0)
    whole = (full / "ledger.db").read_bytes()
    used, found = [at for at, byte in enumerate(whole) if byte], 0
    for trial in range(40):
        copy = folder.parent / f"trial{trial}"
        shutil.copytree(full, copy)
        at, bit = random_.choice(used), 1 << random_.randrange(8)
        (copy / "ledger.db").write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        try:
            said = problems(copy)
        except LedgerError as error:
            said = [str(error)]
        found += bool(said)
        assert said or contents(copy) == expected, f"bit {bit} of byte {at}"
        shutil.rmtree(copy)
    assert found > 30  # the others hit bytes that no row uses


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_database_is_found(full, part):
    path = full / "ledger.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(LedgerCorrupt):
        assert not SqliteLedger.open(full, clock=lambda: 0.0)
