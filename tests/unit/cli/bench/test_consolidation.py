"""`guardedit bench consolidation` on a file with one chain of facts."""

from __future__ import annotations

import json

import pytest

CHAIN = (
    ("Ada Stern", "P27", "{} is a citizen of", "What is the country of citizenship of {}?", "Peru", "Norway"),
    ("Norway", "P36", "The capital of {} is", "What is the capital of {}?", "Oslo", "Lima"),
)


@pytest.fixture
def data(tmp_path):
    rewrites = [
        {
            "subject": subject,
            "relation_id": relation,
            "prompt": prompt,
            "question": question.format(subject),
            "target_true": {"str": old},
            "target_new": {"str": new},
        }
        for subject, relation, prompt, question, old, new in CHAIN
    ]
    path = tmp_path / "mquake.json"
    path.write_text(json.dumps([{"requested_rewrite": rewrites, "questions": ["?"], "new_answer": "Lima"}]))
    return path


def test_the_measures_and_the_checklist_are_printed(guardedit, data):
    result = guardedit("bench", "consolidation", data, "--sizes", "100", "--half", "both", "--output", "json")
    (found,) = result.json["sizes"]
    assert (found["facts"], found["live"]) == (4, 2)
    assert {name: (row["right"], row["asked"]) for name, row in found["measures"].items()} == {
        "single-hop": (2, 2),
        "single-hop, in scope": (2, 2),
        "two-hop": (1, 1),
    }
    assert {item["name"]: item["share"] == item["wanted"] for item in found["checklist"]} == {
        "uptake at once": True,
        "old reports refused": True,
        "resurrection": True,
        "collateral": False,  # no fact is left alone, so the share is undefined
        "scope precision": True,
        "provenance": True,
    }


def test_a_table_has_a_line_for_each_measure_and_each_item_of_the_checklist(guardedit, data):
    lines = guardedit("bench", "consolidation", data, "--sizes", "100", "--half", "both").lines
    assert lines[0].split() == ["size", "facts", "measure", "asked", "right", "outdated", "nothing", "share"]
    assert any("two-hop" in line and line.split()[-5:] == ["1", "1", "0", "0", "1.000"] for line in lines)
    assert any("uptake at once" in line and line.split()[-3:] == ["2", "1.000", "1"] for line in lines)


def test_facts_and_patterns_go_together(guardedit, data):
    result = guardedit("bench", "consolidation", data, "--facts", data)
    assert (result.code, "--facts and --patterns go together" in result.err) == (2, True)
    none = guardedit("bench", "consolidation", data, "--sizes", "")
    assert (none.code, "--sizes is empty" in none.err) == (2, True)
