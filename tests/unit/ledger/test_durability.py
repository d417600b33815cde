"""What is on the disk when a method returns, and in which order it came there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Disk:
    """Writes down every fsync, by inode and size, and every commit; lets all of them happen."""

    def __init__(self, ledger, monkeypatch) -> None:
        self.said: list[tuple[int, int] | str] = []
        real = os.fsync

        def fsync(handle: int) -> None:
            stat = os.fstat(handle)
            self.said.append((stat.st_ino, stat.st_size))
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        ledger._database._connection.set_trace_callback(
            lambda sql: self.said.append(sql) if sql == "COMMIT" else None
        )

    def at(self, path: Path) -> int:
        """When this file, as it is now, or this folder was made durable; fails where it never was."""
        stat = path.stat()
        for place, said in enumerate(self.said):
            if said[0] == stat.st_ino and (path.is_dir() or said[1] == stat.st_size):
                return place
        pytest.fail(f"{path.name} was never made durable: {self.said}")


@pytest.fixture
def disk(ledger, monkeypatch) -> Disk:
    return Disk(ledger, monkeypatch)


def test_a_blob_is_durable_by_content_and_by_name_before_a_row_names_it(ledger, disk, make, folder):
    edit = make.edit([make.fact(make.correction(1))])
    ledger.remember_edits([("key", "group", edit)])
    blob = ledger._blobs.path(edit.digest)
    objects = folder / "objects"  # made just now, and so was the folder in it
    order = [disk.at(blob), disk.said.index("COMMIT"), disk.at(folder / "ledger.head")]
    assert order == sorted(order)
    for named in (blob.parent, objects, folder):
        assert disk.at(blob) < disk.at(named) < disk.said.index("COMMIT")


def test_a_blob_in_a_folder_that_was_there_is_durable_by_name_as_well(ledger, disk, make):
    edit = make.edit([make.fact(make.correction(1))])
    blob = ledger._blobs.path(edit.digest)
    blob.parent.mkdir(parents=True)
    ledger.remember_edits([("key", "group", edit)])
    assert disk.at(blob) < disk.at(blob.parent) < disk.said.index("COMMIT")


def test_many_blobs_are_all_durable_before_the_one_commit(ledger, disk, make):
    edits = [make.edit([make.fact(make.correction(n))]) for n in range(5)]
    ledger.remember_edits([(str(n), "group", edit) for n, edit in enumerate(edits)])
    blobs = [ledger._blobs.path(edit.digest) for edit in edits]
    assert max(disk.at(path) for blob in blobs for path in (blob, blob.parent)) < disk.said.index("COMMIT")


def test_the_head_is_durable_when_a_commit_returns(ledger, disk, make, folder):
    for step in (
        lambda: ledger.receive([make.delivery(1)]),
        lambda: ledger.settle([make.accepted(row) for row in ledger.pending(9)]),
        lambda: ledger.note("noted", {}),
    ):
        disk.said.clear()
        step()
        assert disk.at(folder / "ledger.head") > disk.said.index("COMMIT")


def test_the_database_waits_for_the_disk(ledger):
    assert ledger._database.row("PRAGMA synchronous") == (2,)
    assert ledger._database.row("PRAGMA journal_mode") == ("wal",)
