"""Reading needs no writing: a home is left as it is, and one that cannot be written to is read as well."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from guardedit.core.errors import LedgerError, UsageError
from guardedit.ledger.opening import read_only

NOBODY = 65_534


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and bytes, and the times of the folders."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.fixture
def story(open_ledger, make, folder):
    """A ledger that is open, with a fact in the weights and one in memory, and what it holds."""
    ledger = open_ledger()
    ledger.receive([make.delivery(n) for n in (1, 2)])
    ledger.settle([make.accepted(row) for row in ledger.pending(9)])
    fact = next(iter(ledger.live().values()))
    ledger.commit([], kind="promote", reason="", edits=[make.edit([fact])], weights_sha256="w", expected=1)
    return ledger


@pytest.fixture(params=["closed", "crashed", "crashed without index"])
def home(story, folder, tmp_path, request) -> Path:
    """A copy of the home as a coordinator leaves it when it ends, or when it is killed."""
    if request.param == "closed":
        story.close()
    copy = tmp_path / "home"
    left = shutil.ignore_patterns("*-shm") if request.param == "crashed without index" else None
    shutil.copytree(folder, copy, ignore=left)
    return copy


def read(home: Path) -> list[object]:
    with read_only(home, clock=lambda: 0.0) as ledger:
        return [
            ledger.snapshot(),
            ledger.verify(),
            ledger.entries(),
            ledger.counts(),
            ledger.find_fact("land 1"),
        ]


def test_reading_leaves_everything_as_it_was(home, story):
    before = listing(home)
    snapshot, problems, *_ = read(home)
    assert snapshot.epoch.number == 2
    assert problems == []
    assert listing(home) == before


def test_reading_leaves_nothing_in_the_temporary_folder(home, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    read(home)
    assert list(scratch.iterdir()) == []


def as_nobody(task: Callable[[], object]) -> None:
    """Run it in a child that may write to no file of ours; it fails here when it fails there."""
    if (child := os.fork()) == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            signal.alarm(60)
            task()
        except BaseException:  # noqa: BLE001 - told by the exit code
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def locked(home) -> Path:
    """The home where everybody may read and nobody may write, in a folder of the same kind."""
    place = Path(tempfile.mkdtemp())
    shutil.copytree(home, place / "home")
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield place / "home"
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(place)


def test_a_home_that_cannot_be_written_to_is_read(locked):
    before = listing(locked)

    def check() -> None:
        snapshot, problems, entries, _, found = read(locked)
        assert (snapshot.epoch.number, len(snapshot.facts), len(snapshot.edits)) == (2, 2, 1)
        assert problems == []
        assert len(entries) == 2
        assert len(found) == 1

    as_nobody(check)
    assert listing(locked) == before


def test_a_reader_follows_a_writer_at_work_and_adds_no_file(story, folder, make):
    names = sorted(path.name for path in folder.iterdir())
    with read_only(folder, clock=lambda: 0.0) as reader:
        assert reader.snapshot() == story.snapshot()
        story.receive([make.delivery(3)])
        story.settle([make.accepted(row) for row in story.pending(9)])
        assert reader.snapshot() == story.snapshot()
        assert reader.verify() == []
    assert sorted(path.name for path in folder.iterdir()) == names


def test_the_home_of_somebody_else_is_read_while_its_coordinator_runs(story, folder):
    for path in [folder.parent, folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    names = sorted(path.name for path in folder.iterdir())

    def check() -> None:
        snapshot, problems, *_ = read(folder)
        assert (snapshot.epoch.number, problems) == (2, [])

    as_nobody(check)
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_reader_cannot_write(story, folder):
    with read_only(folder, clock=lambda: 0.0) as reader:
        assert not hasattr(reader, "receive")
        with pytest.raises(LedgerError, match="readonly"), reader._database.transaction("x") as connection:
            connection.execute("DELETE FROM refs")


def test_what_is_read_while_others_come_and_go_is_whole(open_ledger, folder, make):
    open_ledger().close()
    stop, wrong = threading.Event(), []

    def read_on() -> None:
        while not stop.is_set():
            with read_only(folder, clock=lambda: 0.0) as reader:
                wrong.extend(reader.verify())

    readers = [threading.Thread(target=read_on) for _ in range(2)]
    for thread in readers:
        thread.start()
    try:
        for n in range(25):
            with open_ledger(writer=False) as sender:
                sender.receive([make.delivery(n)])
    finally:
        stop.set()
        for thread in readers:
            thread.join()
    assert wrong == []
    with open_ledger() as ledger:
        assert len(ledger.pending(99)) == 25
        assert ledger.verify() == []


def test_where_no_ledger_is_none_is_made(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError, match="there is no ledger"):
            read_only(folder, clock=lambda: 0.0)
    assert list(tmp_path.iterdir()) == []
