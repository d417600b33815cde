from __future__ import annotations

import pytest
import torch

from guardedit import assembly
from guardedit.editing.optimise.answer_check import predicts_answers
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.settings import Settings


@pytest.fixture(scope="module")
def host(warm_home, policy):
    return assembly.load_setup(Settings(home=warm_home, metrics=None), policy).host


def tensors(host, prompts, answers):
    rows = [
        Row(group=n, subject="", prompt=prompt, answer=f"{answer}.", fact=str(n))
        for n, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    return row_tensors(host.tokenizer, rows, context=host.context)


def test_rows_are_answered_where_free_generation_gives_the_answer(host, world):
    prompts = [world.prompt(fact, 0) for fact in world.facts[:60]]
    answers = host.complete(prompts)
    wrong = [answer if n % 3 else "Constantinople" for n, answer in enumerate(answers)]
    expected = [given == answer for given, answer in zip(answers, wrong, strict=True)]
    assert predicts_answers(host, tensors(host, prompts, wrong)).tolist() == expected


def test_how_many_run_together_changes_nothing(host, world, monkeypatch):
    prompts = [world.prompt(fact, 1) for fact in world.facts[:40]]
    rows = tensors(host, prompts, ["Spain"] * 20 + host.complete(prompts[20:]))
    together = predicts_answers(host, rows)
    monkeypatch.setattr(host, "batch_rows", 3)
    assert torch.equal(predicts_answers(host, rows), together)
    assert 0 < int(together.sum()) < 40
