"""The position of the subject in the training rows of an edit."""

from __future__ import annotations

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.fact import Fact
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import change_rows
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.rows import Row, fact_rows, keep_rows, row_tensors
from guardedit.models.text.tokens import encode

CONTEXTS = Contexts(("You see York.", "The New York."))
#: The case `subject-again-after-placeholder`.
YORK = (
    b'{"id": "x2", "subject": "York", "prompt": "{} is not New York; it lies in", "target_new": "Lima", '
    b'"relation": "P131", "paraphrases": ["New York is far; {} lies in"]}'
)


@pytest.fixture
def york() -> Fact:
    sent = decode_correction(YORK)
    return Fact(
        key=sent.key, version=1, correction_id=sent.id, wordings=sent.wordings, target=sent.target_new,
        subject_at=sent.subject_at,
    )  # fmt: skip


def _up_to_subject(row: Row) -> str:
    """The row's prompt up to and with the subject's place."""
    assert row.at is not None
    assert row.prompt[slice(*row.at)] == "York"
    return row.prompt[: row.at[1]]


def test_every_row_locates_the_subject_behind_every_prefix(york):
    rows = fact_rows(0, york, "York", CONTEXTS)
    assert [_up_to_subject(row) for row in rows] == [
        "York",
        "You see York. York",
        "The New York. York",
        "New York is far; York",
        "You see York. New York is far; York",
        "The New York. New York is far; York",
    ]


def test_published_methods_are_shown_the_same_places(york):
    rows = change_rows(0, SubjectGroup(subject="York", facts=(york,)), CONTEXTS, all_wordings=True)
    assert [_up_to_subject(row) for row in rows] == [
        _up_to_subject(row) for row in fact_rows(0, york, "York", CONTEXTS)
    ]


def test_the_token_that_is_edited_is_the_last_one_of_that_place(york, gpt2):
    rows = [row for row in fact_rows(0, york, "York", CONTEXTS) if row.context == 0]
    found = row_tensors(gpt2.tokenizer, rows, context=gpt2.context)
    upto = [len(encode(gpt2.tokenizer, _up_to_subject(row))) - 1 for row in rows]
    assert found.subject_at.tolist() == upto


def test_the_spelling_of_the_wording_does_not_have_to_be_that_of_the_group(york):
    assert len(fact_rows(0, york, "YORK", CONTEXTS)) == 6
    unplaced = Fact(
        key=york.key, version=1, correction_id="x", wordings=("The mayor of YORK is",), target="x"
    )
    (row, *_) = fact_rows(0, unplaced, "York", Contexts())
    assert row.prompt[slice(*row.at)] == "YORK"


def test_a_wording_without_a_known_place_is_searched_for_the_whole_name(york):
    unplaced = Fact(
        key=york.key, version=1, correction_id="x", target="x",
        wordings=("Yorkshire lies in", "Yorkshire and York lie in"),
    )  # fmt: skip
    assert [row.prompt for row in fact_rows(0, unplaced, "York", Contexts())] == ["Yorkshire and York lie in"]


def test_answers_to_keep_are_those_whose_question_names_the_subject():
    kept = tuple(
        Question(prompt=prompt, kind=QuestionKind.SAME_SUBJECT, expected="x")
        for prompt in ("YORK is", "Yorkshire is", "The mayor of York is")
    )
    rows = keep_rows(0, SubjectGroup(subject="York", facts=(), keep=kept), {}, limit=9)
    assert [row.prompt for row in rows] == ["YORK is", "The mayor of York is", "York is a"]
    assert [row.prompt[slice(*row.at)] for row in rows] == ["YORK", "York", "York"]
