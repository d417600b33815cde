from __future__ import annotations

import json

import pytest


def lines(*subjects: str) -> str:
    return "\n".join(
        json.dumps(
            {"subject": subject, "prompt": "The capital of {} is", "target_new": new, "target_true": old}
        )
        for subject, new, old in zip(
            subjects, ("Rome", "Bern", "Oslo"), ("Lima", "Rome", "Bern"), strict=False
        )
    )


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(lines("Peru", "Italy", "Austria"))
    return path


def test_a_step_of_training_leaves_an_editor(guardedit, data, tmp_path):
    result = guardedit(
        "editors", "train", "mend", "--data", data, "--steps", 1, "--out", tmp_path / "out", "-o", "json"
    )
    assert (result.code, result.err) == (0, "")
    assert result.json["steps"] == 1
    assert result.json["file"] == str(tmp_path / "out" / "mend.safetensors")
    assert (tmp_path / "out" / "mend.safetensors").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("mend", "--data", "missing.jsonl"), "cannot read the training data"),
        (("mend", "--model", "elsewhere"), "give --data FILE.jsonl"),
        (("mend", "--out", "/proc/editors"), "cannot create the folder /proc/editors"),
        (("rome",), "'rome' is not one of 'ke', 'mend'"),
    ],
)
def test_a_wrong_request_costs_no_training(guardedit, options, problem):
    result = guardedit("editors", "train", *options)
    assert result.code == 2
    assert problem in result.err


def test_there_must_be_something_to_resume(guardedit, data, tmp_path):
    result = guardedit("editors", "train", "ke", "--data", data, "--out", tmp_path, "--resume")
    assert result.code == 2
    assert "start again without --resume" in result.err
