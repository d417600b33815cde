"""`guardedit memory calibrate`, and a running system that uses what it wrote."""

from __future__ import annotations

import json

import pytest

import guardedit as library

STATED, BESIDE = "The headquarters of {} are in", "How many headquarters has {} had?"


def labelled(path, count):
    """As many questions that the fact answers as others about the same subjects."""
    lines = [
        json.dumps(
            {
                "kind": "k",
                "facts": [{"subject": name, "relation": "P159", "prompt": STATED, "target": "Lima"}],
                "question": question.replace("{}", name),
                "wanted": wanted,
            }
        )
        for name in (f"Works{chr(65 + n // 26)}{chr(97 + n % 26)}" for n in range(count))
        for question, wanted in ((STATED, 0), (BESIDE, None))
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_calibrated_file_changes_what_a_question_gets(guardedit, tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_JUDGE", "none")  # the judge makes no mistake with these questions
    home, bands = tmp_path / "home", tmp_path / "bands.json"
    with library.open(home, policy="memory-only") as agent:
        agent.submit([{"subject": "Stelco", "prompt": STATED, "relation": "P159", "target_new": "Hamilton"}])
        agent.settle()
    questions = (STATED.replace("{}", "Stelco"), BESIDE.replace("{}", "Stelco"))

    def targets():
        with library.LiveFacts(home) as facts:
            return [None if (one := facts.find(text).fact) is None else one.target for text in questions]

    assert targets() == ["Hamilton", "Hamilton"]
    asked = ("--labelled", labelled(tmp_path / "rows.jsonl", 70), "--at-most", 0.05)
    result = guardedit("memory", "calibrate", *asked, "--out", bands, "--output", "json")
    assert result.code == 0, result.err
    monkeypatch.setenv("GUARDEDIT_BANDS", str(bands))
    assert targets() == ["Hamilton", None]

    found = result.json
    assert found["given_before"]["count"] == 70
    assert found["given"]["count"] == 0
    assert found["answered"]["share"] == 1
    assert found["unsure_threshold"] == json.loads(bands.read_text())["unsure"]
    shown = guardedit("memory", "calibrate", *asked, "--out", bands)
    assert f"set GUARDEDIT_BANDS={bands}" in shown.out
    assert f"unsure_threshold: {found['unsure_threshold']:g}" in shown.out


def test_too_few_rows_are_refused_and_nothing_is_written(guardedit, tmp_path):
    out = tmp_path / "bands.json"
    rows = labelled(tmp_path / "rows.jsonl", 20)
    result = guardedit("memory", "calibrate", "--labelled", rows, "--out", out)

    assert result.code != 0
    assert "with 20 out-of-scope rows the smallest limit that can be promised at 95% is 13.91%" in result.err
    assert "give at least 299 of them for 1.00%" in result.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--at-most", 0),
        ("--at-most", 1),
        ("--confidence", 0.5),
        ("--confidence", 1),
        ("--out", "no/folder/x"),
    ],
)
def test_options_out_of_range_are_refused(guardedit, tmp_path, option, value):
    options = {
        "--labelled": labelled(tmp_path / "rows.jsonl", 2),
        "--out": tmp_path / "b.json",
        option: value,
    }
    result = guardedit("memory", "calibrate", *(word for pair in options.items() for word in pair))
    assert result.code != 0
    assert option in result.err
