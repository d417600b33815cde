from __future__ import annotations

import json

import pytest

LINE = {
    "subject": "Austria",
    "relation": "P37",
    "prompt": "The official language of {} is",
    "target_new": "x",
}


@pytest.fixture
def facts(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(LINE))
    return path


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--methods", "ridge,romee"), "did you mean 'rome'"),
        (("--methods", "ridge+nothing"), "nothing"),
        (("--methods", " , "), "names no method"),
        (("--facts", "missing.jsonl"), "cannot read the facts"),
        (("--model", "nowhere"), "give --facts FILE"),
        (("--picture", "."), "cannot be written to ."),
        (("--picture", "nowhere/a.png"), "there is no folder nowhere"),
        (("--checkpoints", "1,many"), "not a list of numbers"),
        (("--checkpoints", "8,0"), "the smallest allowed is 1"),
        (("--layers", "3,-1"), "the smallest allowed is 0"),
        (("--picture", "no/such/folder/curves.png"), "create it first"),
        (("--sequential", "5000"), "ask for fewer"),
        (("--single", "0", "--sequential", "0"), "no edits are asked for"),
    ],
)
def test_a_wrong_request_costs_no_measuring(guardedit, options, problem):
    result = guardedit("editors", "compare", *options)
    assert result.code == 2
    assert problem in result.err


def test_a_comparison_has_numbers_and_a_picture(guardedit, warm_home, tmp_path, facts):
    picture = tmp_path / "curves.png"
    few = ("--methods", "ridge", "--single", 1, "--sequential", 1, "--facts", facts, "--home", warm_home)

    result = guardedit("editors", "compare", *few, "--picture", picture, "--output", "json")

    assert result.err == ""  # the progress bar is for terminals
    found = result.json
    assert found["facts"] == 1
    assert found["layer"] in found["layers"]
    (ridge,) = found["methods"]
    assert ridge["single"]["edits"] == 1
    assert ridge["single"]["asked"]["locality"] > 5
    assert [point["edits"] for point in ridge["sequence"]] == [1]
    assert picture.read_bytes().startswith(b"\x89PNG")
