from __future__ import annotations

import json

import pytest

ROW = {
    "case_id": 1,
    "prompt": "The official language of Austria is",
    "subject": "Austria",
    "target_new": "Lingala",
    "ground_truth": "German",
    "rephrase_prompt": "In Austria people speak",
    "locality_prompt": "The official language of Norway is",
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([ROW]))
    return path


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("counterfact",), "give either --through or --against"),
        (("counterfact", "--through", "memory", "--against", "x"), "give either --through or --against"),
        (("counterfact", "--through", "memory,cloud"), "--through 'cloud' does not exist"),
        (("counterfact", "--through", ","), "--through ',' names nothing"),
        (("counterfact", "--through", "memory", "--strategy", "grace"), "--strategy 'grace' does not exist"),
        (("counterfact", "--through", "memory", "--strategy", ","), "--strategy ',' names nothing"),
        (("counterfact", "--through", "weights", "--strategy", "context"), "goes with --through memory"),
        (("squad", "--through", "memory"), "squad"),
        (("zsre", "--through", "memory"), "looks like counterfact, not like zsre"),
        (("counterfact", "--through", "memory", "--layers", "3"), "go with --through weights"),
        (("counterfact", "--through", "memory", "--picture", "a.png"), "which the memory leaves as it is"),
        (("counterfact", "--through", "weights", "--layers", "a"), "not a list of numbers"),
        (("counterfact", "--through", "weights", "--method", "romee"), "did you mean 'rome'"),
        (("counterfact", "--through", "memory", "--n", "0"), "--n"),
    ],
)
def test_a_wrong_request_costs_no_measuring(guardedit, file, arguments, problem):
    dataset, *options = arguments
    result = guardedit("evaluate", dataset, file, *options)
    assert result.code == 2
    assert problem in result.err


def test_json_has_metrics_and_settings(guardedit, file, home):
    result = guardedit("evaluate", "counterfact", file, "--through", "memory", "--output", "json")
    assert (result.code, result.err) == (0, "")
    found = result.json
    assert (found["dataset"], found["form"]) == ("counterfact", "served")
    assert len(found["file_sha256"]) == len(found["policy_sha256"]) == len(found["base_sha256"]) == 64
    (way,) = found["ways"]
    assert way["through"] == "memory"
    assert way["placements"] == {"memory": 1}
    after = way["metrics"]["all"]
    assert after["ES"]["value"] == 1.0
    assert after["ES"]["interval"] == "wilson"
    assert found["base"]["all"]["ES"]["value"] == 0.0
    assert after["multi_hop"] == {
        "value": None, "low": None, "high": None, "cases": 0, "interval": "",
    }  # fmt: skip
    assert not (home / "ledger.db").exists()


def test_several_methods_have_a_row_each(guardedit, file):
    result = guardedit("evaluate", "counterfact", file, "--through", "weights", "--method", "ridge,r-rome")
    assert result.lines[0].split()[:6] == ["cases", "through", "method", "ES", "PS", "NS"]
    assert [line.split()[1:3] for line in result.lines[2:4]] == [["weights", "ridge"], ["weights", "r-rome"]]
    assert "perplexity" in result.lines[0]


def test_the_table_shows_base_and_after(guardedit, file):
    result = guardedit("evaluate", "counterfact", file, "--through", "memory")
    assert result.lines[0].split() == ["cases", "metric", "base", "after", "low", "high", "n"]
    assert any(line.split()[1:4] == ["ES", "0", "1"] for line in result.lines)
    assert "Facts: memory 1." in result.lines[-1]
