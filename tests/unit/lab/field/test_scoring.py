"""Scores of given answers on a tiny model, against its own logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.lab.field import selection
from guardedit.lab.field.cases import FieldEdit, case_of_one
from guardedit.lab.field.scoring import Given, Scored, paced, score_answers
from guardedit.lab.field.selection import known_cases, select
from guardedit.models.host import ModelHost
from tests.tiny_models import FAMILIES, byte_tokenizer

ASKED = [Given("Rome is in", "Italy"), Given("Rome is in", "Peru"), Given("An uncommonly long text:", "a b")]


@pytest.fixture(scope="module")
def host():
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES["llama"](len(tokenizer)), tokenizer, batch_rows=2)


def test_scores_are_those_of_the_logits(host):
    found = score_answers(host, ASKED)
    for given in ASKED:
        prompt = host.tokenizer(given.text)["input_ids"]
        ids = host.tokenizer(f"{given.text} {given.answer}")["input_ids"]
        with torch.inference_mode():
            logprobs = host.model(torch.tensor([ids])).logits[0].float().log_softmax(dim=-1)
        own = ids[len(prompt) :]
        places = range(len(prompt) - 1, len(ids) - 1)
        score = found[given]
        assert score.tokens == tuple(own)
        assert score.likeliest == tuple(int(logprobs[place].argmax()) for place in places)
        mean = sum(float(logprobs[p, token]) for p, token in zip(places, own, strict=True)) / len(own)
        assert score.logprob_nats == pytest.approx(mean, abs=1e-5)  # the mean, not the sum


def test_a_score_does_not_depend_on_its_neighbours(host):
    together = score_answers(host, ASKED)
    for given in ASKED:
        (alone,) = score_answers(host, [given]).values()
        assert alone.tokens == together[given].tokens
        assert alone.logprob_nats == pytest.approx(together[given].logprob_nats, abs=1e-5)


def test_progress_ends_at_the_total_and_estimates():
    told = []
    report = paced(lambda *row: told.append(row), iter([100.0, 110.0, 220.0]).__next__)
    report("scoring", 10, 40)
    report("scoring", 20, 40)
    report("scoring", 30, 100)
    assert told == [
        ("scoring", 10, 40),
        ("scoring, about 20 s left", 20, 40),
        ("scoring, about 7 min left", 30, 100),
    ]


def cases(*rows):
    return [
        case_of_one(name, FieldEdit(subject=subject, prompt=prompt, target_new=new, target_true=true))
        for name, subject, prompt, new, true in rows
    ]


def test_the_selection_leaves_out_what_cannot_be_right(host):
    rows = cases(
        ("a", "Rome", "Rome is in", "Peru", "Italy"),
        ("b", "Oslo", "The capital is", "Bergen", "Oslo"),
        ("c", "Rome", "Rome is in", "Chile", "Italy"),
        ("d", "Bern", "Bern is in", "Chile", "Italy"),
    )
    found = select(host, rows, count=9, known_only=False, seed=0)
    names = {case.name for case in found.cases}
    assert len(names) == 2
    assert "b" not in names
    assert len(names & {"a", "c"}) == 1
    assert found.left_out == {"subject_not_named": 1, "contradicts_another": 1, "not_known": 0}
    assert [c.name for c in select(host, rows, count=9, known_only=False, seed=0).cases] == [
        c.name for c in found.cases
    ]


@pytest.fixture
def knows(monkeypatch):
    """A model that says `Italy` and nothing else."""

    def scores(_, asked, **__):
        return {one: Scored((1, 2), (1, 2 if one.answer == "Italy" else 3), -1.0) for one in asked}

    monkeypatch.setattr(selection, "score_answers", scores)


def test_known_are_the_cases_whose_objects_the_model_says(knows):
    right, wrong, none = cases(
        ("a", "Rome", "Rome is in", "Peru", "Italy"),
        ("b", "Oslo", "Oslo is in", "Peru", "Norway"),
        ("c", "Bern", "Bern is in", "Peru", ""),
    )
    both = replace(
        right, name="d", edits=(*right.edits, *wrong.edits), questions=right.questions + wrong.questions
    )
    assert known_cases(None, [right, wrong, none, both]) == {"a"}


def test_known_ones_are_searched_for(knows):
    rows = cases(
        *((str(n), f"Town {n}", f"Town {n} is in", "Peru", "Italy" if n % 3 else "x") for n in range(90))
    )
    found = select(None, rows, count=50, known_only=True, seed=0)
    assert len(found.cases) == 50
    assert {case.name for case in found.cases} == found.known
    assert all(int(name) % 3 for name in found.known)
    some = select(None, rows, count=50, known_only=False, seed=0)
    assert len(some.cases) == 50
    assert some.known < {case.name for case in some.cases}


def test_no_case_is_lost_between_two_chunks(knows):
    rows = cases(
        *((str(n), f"Town {n}", f"Town {n} is in", "Peru", "Italy") for n in range(selection.CHUNK + 1))
    )
    found = select(None, rows, count=len(rows), known_only=True, seed=0)
    assert (len(found.cases), sum(found.left_out.values())) == (len(rows), 0)


def test_known_needs_true_objects(host):
    rows = cases(("a", "Rome", "Rome is in", "Peru", ""))
    with pytest.raises(UsageError, match="leave --known out"):
        select(host, rows, count=1, known_only=True, seed=0)


def test_nothing_to_choose_is_said(host):
    rows = cases(("b", "Oslo", "The capital is", "Bergen", "Oslo"))
    with pytest.raises(UsageError, match="subject_not_named 1"):
        select(host, rows, count=1, known_only=False, seed=0)
