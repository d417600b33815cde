from __future__ import annotations

import json

import pytest

from guardedit.policy.load import load_policy

PLAIN = {"id": "x1", "subject": "Norway", "prompt": "The capital of {} is", "target_new": "Oslo"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "correction.json"

    def write(*bodies, indent=None):
        path.write_text("\n".join(json.dumps(body, indent=indent) for body in bodies))
        return path

    return write


def test_the_policy_in_force_is_validated(guardedit):
    result = guardedit("policy", "validate", "-o", "json").json

    assert (result["valid"], result["mode"], result["problems"]) == (True, "enforce", [])


def test_every_problem_has_its_own_line_with_file_line_and_column(guardedit, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("apiVersion: guardedit/v1\nrule: []\nguard:\n  reliability_min: 2\n")

    result = guardedit("policy", "validate", path)
    program = guardedit("policy", "validate", path, "-o", "json")

    assert (result.code, result.out, program.code) == (2, "", 2)
    problems = result.err.removeprefix("error: ").splitlines()
    assert problems == program.json["problems"]
    assert all(line.startswith(f"{path}:") for line in problems)
    assert any(":2:1: rule: unknown key; did you mean 'rules'?" in line for line in problems)


def test_one_wrong_policy_among_several_does_not_hide_the_others(guardedit, tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    good = guardedit("policy", "validate", tmp_path / "empty.yaml", tmp_path / "none.yaml")

    assert good.code == 2
    assert good.err.count("error: ") == 2


def test_a_correction_in_a_file_is_explained_rule_by_rule(guardedit, file):
    result = guardedit("policy", "explain", "--file", file(PLAIN), "-o", "json")

    assert (result.code, result.json["route"], result.json["rule"]) == (0, "weights", "default")
    steps = result.json["trace"]
    assert [step["matched"] for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[0]["because"] == "source 'unknown' is not untrusted*"


def test_a_correction_may_stand_on_several_lines_and_several_may_stand_in_a_file(guardedit, file):
    pretty = guardedit("policy", "explain", "--file", file(PLAIN, indent=2))
    both = guardedit("policy", "explain", "--file", file(PLAIN, {**PLAIN, "id": "x2"}))

    assert pretty.code == 0
    assert [line.split()[1] for line in both.lines if line.startswith("correction")] == ["x1", "x2"]


def test_a_held_correction_has_its_own_exit_code(guardedit):
    doubtful = {**PLAIN, "provenance": {"confidence": 0.1}}

    result = guardedit("policy", "explain", "-", stdin=json.dumps(doubtful))

    assert result.code == 3
    assert "very-low-confidence" in result.out


def test_the_quota_is_counted_from_the_ledger(guardedit, file, tmp_path, ledger_file):
    # Its clock stands in 1970, so nothing of it falls into the last 24 hours.
    result = guardedit("policy", "explain", "--file", file({**PLAIN, "subject": "Land 1"}), "-o", "json").json

    assert result["rule"] == "default"


def test_a_message_that_cannot_be_read_is_a_failure_with_its_number(guardedit, file):
    result = guardedit("policy", "explain", "--file", file(PLAIN, {**PLAIN, "target_new": ""}))

    assert (result.code, result.out) == (1, "")
    assert result.err == "error: message 2: malformed: target_new must be a non-empty text, got ''\n"


def test_a_recorded_decision_stays_true_after_the_policy_changed(guardedit, ledger_file, tmp_path):
    before = guardedit("policy", "explain", "c1", "-o", "json").json
    other = tmp_path / "other.yaml"
    other.write_text(
        "apiVersion: guardedit/v1\nrules:\n  - {id: none, route: reject, why: nothing may pass}\n"
    )
    after = guardedit("policy", "explain", "c1", "-o", "json", "--policy", other).json

    assert before == after
    assert (before["fate"], before["route"], before["rule"]) == ("accepted", "weights", "all")
    assert before["policy_sha256"] == "p1" * 32 != load_policy(other).sha256
    assert [step["rule"] for step in before["trace"]] == ["expires", "all"]


def test_a_recorded_held_correction_has_the_exit_code_of_the_held(guardedit, ledger_file):
    assert guardedit("policy", "explain", "c3").code == 3


def test_an_id_is_never_taken_for_a_file(guardedit, ledger_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("c1", "nope.json"):
        (tmp_path / name).write_text(json.dumps({**PLAIN, "id": "of the file"}))

    assert guardedit("policy", "explain", "c1", "-o", "json").json["correction"] == "c1"
    result = guardedit("policy", "explain", "nope.json")
    assert result.code == 2
    assert "has the id 'nope.json': check the id, or explain a file with --file FILE" in result.err


def test_without_a_ledger_an_id_is_a_usage_error_that_names_the_remedy(guardedit):
    result = guardedit("policy", "explain", "c1")

    assert result.code == 2
    assert "to look up 'c1': name its folder with --home" in result.err


@pytest.mark.parametrize("arguments", [[], ["c1", "--file", "-"]])
def test_what_is_explained_is_named_once(guardedit, arguments):
    result = guardedit("policy", "explain", *arguments)

    assert (result.code, result.out) == (2, "")
    assert "give either the id of a recorded correction or --file FILE" in result.err


def test_standard_input_may_be_named_as_a_file_too(guardedit):
    assert guardedit("policy", "explain", "--file", "-", stdin=json.dumps(PLAIN)).code == 0


def test_an_array_of_corrections_is_explained_one_by_one(guardedit, file):
    many = json.dumps([PLAIN, {**PLAIN, "id": "x2"}], indent=1)

    result = guardedit("policy", "explain", "-", stdin="\ufeff" + many)

    assert [line.split()[1] for line in result.lines if line.startswith("correction")] == ["x1", "x2"]
