from __future__ import annotations

import json

import pytest

FACT = {"prompt": "The official language of {} is", "subject": "Austria", "answer": "German"}


@pytest.fixture
def facts(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(json.dumps(fact) for fact in (FACT, {**FACT, "answer": "French"})))
    return path


def test_a_trace_has_numbers_and_a_picture(guardedit, facts, tmp_path):
    picture = tmp_path / "trace.png"

    result = guardedit("locate", "trace", "--facts", facts, "--picture", picture, "--output", "json")

    assert result.err == ""  # the progress bar is for terminals
    found = result.json
    assert (found["facts"], found["skipped"], found["window"], found["layers"]) == (1, 1, 3, 6)
    assert found["clean"] > found["corrupted"]
    assert found["total_effect"] == pytest.approx(found["clean"] - found["corrupted"])
    assert len(found["indirect_effect"]["mlp"]["last subject token"]) == 6
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--facts", "missing.jsonl"), "cannot read the facts"),
        (("--picture", "no/such/folder/trace.png"), "create it first"),
        (("--model", "nowhere"), "or give --facts FILE"),
    ],
)
def test_a_wrong_request_costs_no_tracing(guardedit, options, problem):
    result = guardedit("locate", "trace", *options)

    assert result.code == 2
    assert problem in result.err
