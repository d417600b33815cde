from __future__ import annotations

import json

import pytest

from guardedit.editing.registry import METHODS

LINE = {
    "subject": "Austria",
    "relation": "P37",
    "prompt": "The official language of {} is",
    "target_new": "x",
}


def test_every_registered_method_is_listed_with_its_card(guardedit):
    listed = {row["method"]: row for row in guardedit("editors", "list", "--output", "json").json}

    assert set(listed) == set(METHODS)
    assert listed["rome"]["undo"] == "in order"
    assert listed["ridge"]["stored"] == "key and residual of one layer"


def test_a_method_is_described_with_its_deviations_and_the_policys_dials(guardedit):
    said = guardedit("editors", "describe", "rome")
    assert "relative to the value's norm" in said.out
    assert any(line.split() == ["background_weight", "1000"] for line in said.lines)

    whole = guardedit("editors", "describe", "rome", "--output", "json").json
    assert whole["dials"]["background_weight"] == 1000.0
    assert "rank one" in whole["about"]


def test_an_unknown_method_is_told_its_nearest_name(guardedit):
    said = guardedit("editors", "describe", "romee")
    assert (said.code, "did you mean 'rome'" in said.err) == (2, True)


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
        (("--checkpoints", "8,0"), "the least that makes sense is 1"),
        (("--layers", "3,-1"), "the least that makes sense is 0"),
        (("--picture", "no/such/folder/curves.png"), "make it first"),
        (("--sequential", "5000"), "ask for fewer"),
        (("--single", "0", "--sequential", "0"), "no edits are asked for"),
    ],
)
def test_a_wrong_request_costs_no_measuring(guardedit, options, problem):
    said = guardedit("editors", "compare", *options)
    assert said.code == 2
    assert problem in said.err


def test_a_comparison_has_numbers_and_a_picture(guardedit, warm_home, tmp_path, facts):
    picture = tmp_path / "curves.png"
    few = ("--methods", "ridge", "--single", 1, "--sequential", 1, "--facts", facts, "--home", warm_home)

    said = guardedit("editors", "compare", *few, "--picture", picture, "--output", "json")

    assert said.err == ""  # the progress bar is for terminals
    found = said.json
    assert found["facts"] == 1
    assert found["layer"] in found["layers"]
    (ridge,) = found["methods"]
    assert ridge["single"]["edits"] == 1
    assert ridge["single"]["asked"]["locality"] > 5
    assert [point["edits"] for point in ridge["sequence"]] == [1]
    assert picture.read_bytes().startswith(b"\x89PNG")
