"""Results are made once, also over a stop in the middle of a write."""

from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.prepare.probes.kept_results import KeptResults


class Maker:
    def __init__(self):
        self.asked: list[str] = []

    def __call__(self, keys):
        self.asked += keys
        return [len(key) for key in keys]


def test_only_new_keys_are_made(tmp_path):
    path, make = tmp_path / "results.jsonl", Maker()
    assert KeptResults(path).results("step", ["a", "bb", "a"], make) == [1, 2, 1]
    again = KeptResults(path)
    assert again.missing("step", ["bb", "ccc"]) == 1
    assert again.results("step", ["bb", "ccc"], make) == [2, 3]
    assert make.asked == ["a", "bb", "ccc"]


def test_steps_are_kept_apart(tmp_path):
    kept, make = KeptResults(tmp_path / "results.jsonl"), Maker()
    kept.results("one", ["a"], make)
    kept.results("two", ["a"], make)
    assert make.asked == ["a", "a"]


def test_a_line_cut_off_loses_only_itself(tmp_path):
    path, make = tmp_path / "results.jsonl", Maker()
    kept = KeptResults(path)
    kept.results("step", ["a"], make)
    kept.results("step", ["bb"], make)
    path.write_bytes(path.read_bytes()[:-4])
    assert KeptResults(path).results("step", ["a", "bb"], make) == [1, 2]
    # The result that was made again is kept, although the cut line before it has no line break.
    assert KeptResults(path).results("step", ["a", "bb"], make) == [1, 2]
    assert make.asked == ["a", "bb", "bb"]


def test_without_a_file_results_live_in_memory():
    kept, make = KeptResults(None), Maker()
    kept.results("step", ["a"], make)
    assert kept.results("step", ["a"], make) == [1]
    assert make.asked == ["a"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--home"):
        KeptResults(tmp_path / "file" / "results.jsonl").results("step", ["a"], Maker())
