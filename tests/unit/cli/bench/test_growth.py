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
def test_facts_that_the_model_knows_already_are_not_edited(guardedit, given, command):
    result = guardedit(*command, *given("Hindi"))
    assert result.code == 2
    assert "the model already answers all 1 facts with their targets; give other facts" in result.err


def test_a_batch_without_enough_facts_is_named_and_left_out(guardedit, given):
    result = guardedit(
        "bench", "growth", *given("x"), "--batches", 400, "--widths", "", "--lengths", "", "--output", "json"
    )
    assert "--batches 400 is left out: there are only 1 facts to edit" in result.err
    assert result.json == {"grown": []}
