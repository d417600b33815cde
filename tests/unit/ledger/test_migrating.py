"""A ledger of an earlier format (`format_2.sql` and later) is opened, read, verified and gone on with."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from guardedit.core.errors import LedgerBusy
from guardedit.ledger.opening import read_only
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage.database import FORMAT
from guardedit.ledger.storage.lock import Presence
from tests.fakes import FakeClock

FORMATS = (2, 3, 4)
TENANTS = {("Stelco", "default"), ("Stelco", "acme"), ("Velmora", "acme")}


@pytest.fixture(params=FORMATS)
def version(request):
    return request.param


@pytest.fixture
def folder(tmp_path, version):
    written = Path(__file__).with_name(f"format_{version}.sql")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.executescript(written.read_text())
    shutil.copy(written.with_suffix(".head"), tmp_path / "ledger.head")
    return tmp_path


def opened(folder):
    return SqliteLedger.open(folder, clock=FakeClock(), writer=False)


def format_of(folder):
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def tenants(ledger):
    return {(key.subject, key.tenant) for key in ledger.live(ledger.ref("serving"))}


def test_an_earlier_ledger_is_brought_to_this_format_and_is_whole(folder):
    with opened(folder) as ledger:
        assert tenants(ledger) == TENANTS
        assert ledger.verify() == []
    assert format_of(folder) == FORMAT


def test_reading_alone_understands_it_and_changes_no_byte(folder, version):
    before = (folder / "ledger.db").read_bytes()
    with read_only(folder, clock=FakeClock()) as ledger:
        assert tenants(ledger) == TENANTS
        assert ledger.verify() == []
    assert (folder / "ledger.db").read_bytes() == before
    assert format_of(folder) == version


def test_while_another_process_has_it_open_it_is_left_as_it_is(folder, version):
    other = Presence.shared(folder)
    try:
        with pytest.raises(LedgerBusy, match=f"format {version} and is open in another process"):
            opened(folder)
    finally:
        other.release()
    assert format_of(folder) == version
    opened(folder).close()
    assert format_of(folder) == FORMAT


@pytest.mark.parametrize("point", ["before", "made", "after"])
def test_a_kill_while_it_is_brought_up_leaves_the_old_or_the_new_one(folder, tmp_path, monkeypatch, point):
    class Killed(BaseException):
        pass

    def kill(name):
        if name == f"ledger.migrate.{point}":
            raise Killed

    monkeypatch.setattr("guardedit.ledger.storage.migrating.failpoint", kill)
    with pytest.raises(Killed):
        opened(folder)
    monkeypatch.undo()
    copy = shutil.copytree(folder, tmp_path / "copy")
    for place in (folder, copy):
        with opened(place) as ledger:
            assert tenants(ledger) == TENANTS
            assert ledger.verify() == []
