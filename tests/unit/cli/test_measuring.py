from __future__ import annotations

import json

import pytest

LINE = {"subject": "36 China Town", "relation": "P364", "prompt": "The original language of {} is"}


@pytest.fixture
def given(tmp_path, warm_home):
    def write(target: str) -> list[object]:
        path = tmp_path / "facts.jsonl"
        path.write_text(json.dumps({**LINE, "target_new": target}))
        return ["--facts", path, "--home", warm_home]

    return write


@pytest.mark.parametrize("command", [("bench", "growth"), ("editors", "compare", "--methods", "ridge")])
def test_facts_that_the_model_says_already_are_no_edits(guardedit, given, command):
    said = guardedit(*command, *given("Hindi"))
    assert said.code == 2
    assert "the model says all targets already (1): give other facts" in said.err


def test_a_batch_there_are_no_facts_for_is_named(guardedit, given):
    said = guardedit(
        "bench", "growth", *given("x"), "--batches", 400, "--widths", "", "--lengths", "", "--output", "json"
    )
    assert "no batch of 400: there are 1 facts" in said.err
    assert said.json == {"grown": []}
