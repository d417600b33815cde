from __future__ import annotations

import io
import os

import pytest

from guardedit.cli.terminal.files import check_picture, opened, position_in, read_whole, writable_folder
from guardedit.core.errors import SourceError, UsageError


def test_a_file_has_a_position_and_a_size_and_a_pipe_has_none(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    with opened(str(path)) as stream:
        stream.readline()
        assert position_in(stream) == (4, 8)

    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream:
        os.close(write)
        assert position_in(stream) == (0, None)
    assert position_in(io.BytesIO(b"")) == (0, None)


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path):
    missing = str(tmp_path / "no.jsonl")
    with pytest.raises(SourceError, match=r"no\.jsonl: No such file or directory; give"), opened(missing):
        pass
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        read_whole(tmp_path)


def test_a_picture_needs_a_folder_and_a_name_of_its_own(tmp_path):
    check_picture(None)
    check_picture(tmp_path / "new.png")
    with pytest.raises(UsageError, match=r"there is no folder .*no for the picture: create it first"):
        check_picture(tmp_path / "no" / "new.png")
    with pytest.raises(UsageError, match="name a file that can be written"):
        check_picture(tmp_path)


def test_a_missing_folder_is_created(tmp_path):
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot create the folder"):
        writable_folder(tmp_path / "file" / "b")
