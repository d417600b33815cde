"""The shipped general texts, and texts of a user's file."""

from __future__ import annotations

import json

import pytest

from guardedit.core.errors import UsageError
from guardedit.prepare.probes.texts import general_texts, held_out_in, read_own_texts, strata_of


def test_there_are_many_texts_in_many_strata():
    guard, held = general_texts("guard"), general_texts("evaluation")
    assert set(guard) == set(held)
    assert len(guard) >= 10
    assert sum(map(len, guard.values())) >= 180
    assert sum(map(len, held.values())) >= 100


def test_no_text_is_in_two_places():
    texts = [text for part in ("guard", "evaluation") for row in general_texts(part).values() for text in row]
    assert len(set(texts)) == len(texts)


def test_texts_are_of_use_for_perplexity():
    for row in general_texts("guard").values():
        for text in row:
            assert text == text.strip()
            assert 60 <= len(text) <= 400, text


def test_strata_are_counted_and_own_texts_are_own():
    guard = general_texts("guard")
    assert strata_of([guard["news"][0], guard["code"][0], guard["news"][1], "Mine."]) == {
        "news": 2,
        "code": 1,
        "own": 1,
    }


def test_held_out_texts_are_recognised():
    assert held_out_in([general_texts("evaluation")["news"][0], general_texts("guard")["news"][0]]) == 1


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.txt", "One.\n\nTwo.\nOne.\n"),
        ("a.json", json.dumps(["One.", "Two."])),
        ("a.json", json.dumps([{"Corpus": "news", "Text": "One."}, {"text": "Two."}])),
        ("a.jsonl", '{"text": "One."}\n{"text": " Two. "}\n'),
    ],
)
def test_own_texts_are_read(tmp_path, name, body):
    (tmp_path / name).write_text(body)
    assert read_own_texts(tmp_path / name) == ("One.", "Two.")


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("a.txt", "\n \n", "has no texts"),
        ("a.json", '{"a": 1}', "another form"),
        ("a.json", "[1]", "another form"),
        ("a.jsonl", '{"body": "x"}', "another form"),
        ("a.jsonl", "{", "another form"),
    ],
)
def test_texts_of_another_form_are_refused(tmp_path, name, body, reason):
    (tmp_path / name).write_text(body)
    with pytest.raises(UsageError, match=reason):
        read_own_texts(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read the texts"):
        read_own_texts(tmp_path / "none.txt")
