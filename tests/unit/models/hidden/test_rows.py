"""Stores of rows: bounded, whole or absent, and never a reason to fail."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from guardedit.core import durable
from guardedit.models.hidden.files import RowFiles
from guardedit.models.hidden.rows import RowsInMemory

ROW, OTHER, THIRD = (1, 2, 3), (4,), (5, 6)


def hidden(row, dtype=torch.float32) -> torch.Tensor:
    return torch.full((len(row), 4), float(row[0]), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_by_layer_with_their_dtype(tmp_path, dtype):
    RowFiles(tmp_path).put(2, {ROW: hidden(ROW, dtype), OTHER: hidden(OTHER, dtype)})
    found = RowFiles(tmp_path)
    mine, missing = found.get(2, [ROW, THIRD])
    assert missing is None
    assert mine is not None
    assert mine.dtype == dtype
    assert torch.equal(mine, hidden(ROW, dtype))
    assert found.get(1, [ROW]) == [None]
    assert found.layers() == [2]


def test_a_damaged_file_is_not_read(tmp_path):
    RowFiles(tmp_path).put(0, {ROW: hidden(ROW)})
    (path,) = tmp_path.glob("*.safetensors")
    for body in (path.read_bytes()[:-4], path.read_bytes()[:-4] + b"\0\0\0\1", b""):
        path.write_bytes(body)
        assert RowFiles(tmp_path).get(0, [ROW]) == [None]


@pytest.mark.parametrize("step", ["write-half", "rename"])
def test_a_killed_writer_leaves_no_file_that_is_read(tmp_path, step, monkeypatch):
    def die(name: str) -> None:
        if name == f"hidden.{step}":
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(durable, "failpoint", die)
        RowFiles(tmp_path).put(0, {ROW: hidden(ROW)})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    found = RowFiles(tmp_path)
    assert found.get(0, [ROW]) == [None]
    found.put(0, {ROW: hidden(ROW)})
    assert found.get(0, [ROW])[0] is not None


def test_the_oldest_files_go_first_and_the_newest_stays(tmp_path):
    rows = RowFiles(tmp_path, max_bytes=10)
    for row in (ROW, OTHER):
        rows.put(0, {row: hidden(row)})
    assert [kept is not None for kept in rows.get(0, [ROW, OTHER])] == [False, True]
    few = RowFiles(tmp_path, max_files=2)
    few.put(0, {ROW: hidden(ROW)})
    few.put(0, {THIRD: hidden(THIRD)})
    assert [kept is not None for kept in few.get(0, [OTHER, ROW, THIRD])] == [False, True, True]


def test_a_file_that_another_process_dropped_can_be_read_where_it_is_open(tmp_path):
    mine, other = RowFiles(tmp_path), RowFiles(tmp_path)
    mine.put(0, {ROW: hidden(ROW)})
    assert other.get(0, [ROW])[0] is not None
    mine.forget()
    kept = other.get(0, [ROW])[0]
    assert kept is not None
    assert torch.equal(kept, hidden(ROW))
    assert mine.get(0, [ROW]) == [None]


def test_rows_that_cannot_be_written_are_kept_in_memory(tmp_path):
    (tmp_path / "file").write_text("no folder")
    rows = RowFiles(tmp_path / "file")
    rows.put(0, {ROW: hidden(ROW)})
    assert rows.get(0, [ROW])[0] is not None


def test_no_more_is_kept_in_memory_than_was_said():
    rows = RowsInMemory(max_bytes=2 * hidden(ROW).nbytes)
    for row in (ROW, (7, 8, 9)):
        rows.put(0, {row: hidden(row)})
    rows.get(0, [ROW])  # used last
    rows.put(0, {(2, 2, 2): hidden(ROW)})
    assert [kept is not None for kept in rows.get(0, [ROW, (7, 8, 9), (2, 2, 2)])] == [True, False, True]
