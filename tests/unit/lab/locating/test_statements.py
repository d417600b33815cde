from __future__ import annotations

import json

import pytest

from guardedit.core.errors import MalformedCorrection, SubjectNotFound, UsageError
from guardedit.lab.locating.statements import Statement, answered, read_statements, tokenize


def test_a_file_has_one_fact_a_line_with_the_subject_filled_in_or_not(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(
        '{"prompt": "{} speaks", "subject": "Peru", "answer": "Spanish", "relation": "P37"}\n\n'
        '{"prompt": "Oslo is in", "subject": "Oslo", "answer": "Norway"}\n'
    )

    assert read_statements(path) == (
        Statement(prompt="Peru speaks", subject="Peru", answer="Spanish", at=(0, 4)),
        Statement(prompt="Oslo is in", subject="Oslo", answer="Norway"),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", r"facts.jsonl:2: not JSON"),
        ("[1]", "expected an object"),
        (json.dumps({"prompt": "{} is", "subject": "Oslo"}), "answer must be a non-empty text"),
        (json.dumps({"prompt": "{} is", "subject": " ", "answer": "a"}), "subject must be a non-empty text"),
        (json.dumps({"prompt": "It is", "subject": "Oslo", "answer": "a"}), "does not contain the subject"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, problem):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps({"prompt": "{} is", "subject": "Oslo", "answer": "a"}) + "\n" + line)

    with pytest.raises(UsageError, match=problem):
        read_statements(path)


def test_an_empty_or_missing_file_is_refused(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")

    with pytest.raises(UsageError, match="contains no facts"):
        read_statements(empty)
    with pytest.raises(UsageError, match="cannot read the facts"):
        read_statements(tmp_path / "missing.jsonl")


def test_the_subject_and_the_answer_are_found_among_the_tokens(gpt2):
    [asked] = tokenize(
        gpt2, [Statement(prompt="The mother tongue of Ann Lee is", subject="Ann Lee", answer="Polish")]
    )

    read = gpt2.tokenizer.decode
    assert read(asked.ids) == "The mother tongue of Ann Lee is"
    assert read([asked.ids[i] for i in asked.subject]).strip() == "Ann Lee"
    assert read(asked.answer) == " Polish"
    assert asked.target == asked.answer[0]


def test_all_of_an_answer_has_to_be_right(host, statements):
    begun = Statement(
        prompt=statements[0].prompt, subject=statements[0].subject, answer=statements[0].answer + " Polish"
    )

    assert list(answered(host, tokenize(host, [*statements, begun]))) == [True] * len(statements) + [False]


def test_what_cannot_be_asked_is_refused(gpt2):
    with pytest.raises(SubjectNotFound):
        tokenize(gpt2, [Statement(prompt="It is", subject="Oslo", answer="a")])
    with pytest.raises(MalformedCorrection, match="context"):
        tokenize(gpt2, [Statement(prompt="Oslo " * 300, subject="Oslo", answer="a")])
