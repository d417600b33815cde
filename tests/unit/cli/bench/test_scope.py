"""`guardedit bench scope` on a few rows of one's own."""

from __future__ import annotations

import json

import pytest

FACT = {"subject": "Oslo", "relation": "P6", "prompt": "The mayor of {} is", "target": "Ada Lund"}
ROWS = [
    {"kind": "own_prompt", "facts": [FACT], "question": "The mayor of Oslo is", "wanted": 0},
    {"kind": "other_language", "facts": [FACT], "question": "Qui dirige la ville ?", "wanted": 0},
    {"kind": "unrelated", "facts": [FACT], "question": "How many strings has a harp?", "wanted": None},
]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_every_kind_is_counted_in_every_store(guardedit, rows, tmp_path):
    files = ("--picture", tmp_path / "scores.png", "--mistakes", tmp_path / "wrong.jsonl")
    result = guardedit("bench", "scope", "--only", "--rows", rows, "--stores", "1,8", *files, "-o", "json")
    assert result.code == 0, result.err
    found = result.json
    ways = {way["name"]: way for way in found["ways"]}
    lines = {line["kind"]: line for line in ways["features"]["lines"]}

    assert list(ways) == ["cosine", "features", "judge"]
    assert lines.keys() == {row["kind"] for row in ROWS}
    assert [store["facts"] for store in lines["own_prompt"]["stores"]] == [1, 8]
    assert [store["share"] for store in lines["own_prompt"]["stores"]] == [0, 0]
    assert [store["share"] for store in lines["other_language"]["stores"]] == [1, 1]
    assert lines["unrelated"]["met"] is True
    assert len(found["rows_sha256"]) == len(found["encoder_sha256"]) == 64
    wrong = [json.loads(line) for line in (tmp_path / "wrong.jsonl").read_text().splitlines()]
    assert {(one["kind"], one["facts"]) for one in wrong if one["way"] == "features"} == {
        ("other_language", 1),
        ("other_language", 8),
    }
    assert (tmp_path / "scores.png").stat().st_size > 10_000


def test_the_table_has_the_goal_and_whether_it_is_met(guardedit, rows):
    out = guardedit("bench", "scope", "--only", "--rows", rows, "--stores", "1").out
    line = next(text for text in out.splitlines() if text.startswith("other_language"))
    assert "<= 0.3" in line
    assert line.endswith("missed")
    assert "features: meets 2 of 3 goals" in out


@pytest.mark.parametrize(
    "options", [("--stores", ""), ("--stores", "0"), ("--only",), ("--data", "no such folder"), ("--n", "0")]
)
def test_options_that_make_no_sense_are_refused(guardedit, options):
    result = guardedit("bench", "scope", *options)
    assert result.code != 0
    assert "error" in result.err.lower()
