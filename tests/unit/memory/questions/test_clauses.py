"""A question with several askings is split into clauses; one with a single asking stays as it is."""

from __future__ import annotations

import pytest

from guardedit.memory.questions.clauses import clauses_of

KNOWN = ("Who and What", "Velmora", "Stelco", "Ada Lindqvist")


def subjects_in(text: str) -> list[str]:
    return sorted((name for name in KNOWN if name in text), key=text.find)


def texts(question: str) -> list[str]:
    return [clause.text for clause in clauses_of(question, subjects_in)]


@pytest.mark.parametrize(
    "question",
    [
        "The capital of Velmora is",
        "Was there a titanic struggle and who was the director?",
        "Ada Lindqvist, who was born in",
        "Ada Lindqvist was born in Karsk and was educated in",
        "In 2005, who owned Stelco?",
        "Hi there!\nI have a question about Velmora.\nWhat is the capital?",
        "Dr. Ada Lindqvist lives in St. Louis. In",
        "Which language does Stelco, which owns Velmora, speak?",
        "Who wrote Who and What?",
        "Who lives in Andorra?",
        "The food and drink of Ostrania is",
        "",
        "  \n ",
    ],
)
def test_a_question_with_one_asking_stays_whole(question):
    (clause,) = clauses_of(question, subjects_in)
    assert clause.text == question
    assert clause.at == 0


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "Who painted the Mona Lisa and where is the seat of Stelco?",
            ["Who painted the Mona Lisa", "where is the seat of Stelco?"],
        ),
        ("Who owns Stelco? Who rules Velmora?", ["Who owns Stelco?", "Who rules Velmora?"]),
        ("Who owns Stelco; who rules Velmora?", ["Who owns Stelco", "who rules Velmora?"]),
        ("Who owns Stelco, and where is it based?", ["Who owns Stelco", "where is Stelco based?"]),
        ("Who owns Stelco and what is its seat?", ["Who owns Stelco", "what is Stelco's seat?"]),
        (
            "I like Velmora. What is its capital? And who owns Stelco?",
            ["I like Velmora.", "What is Velmora's capital?", "And who owns Stelco?"],
        ),
        ("Wem gehört Stelco und wer regiert Velmora?", ["Wem gehört Stelco", "wer regiert Velmora?"]),
        ("Qui possède Stelco et où est Velmora ?", ["Qui possède Stelco", "où est Velmora ?"]),
        (
            "What are the capital and the currency of Velmora?",
            [
                "What are the capital and the currency of Velmora?",
                "What are the capital of Velmora?",
                "What are the currency of Velmora?",
            ],
        ),
        (
            "Who owns Stelco, Velmora & Who and What?",
            [
                "Who owns Stelco, Velmora & Who and What?",
                "Who owns Stelco?",
                "Who owns Velmora?",
                "Who owns Who and What?",
            ],
        ),
        (
            "Where and when was Ada Lindqvist born?",
            [
                "Where and when was Ada Lindqvist born?",
                "Where was Ada Lindqvist born?",
                "when was Ada Lindqvist born?",
            ],
        ),
        ("Who owns Who and What and who owns Stelco?", ["Who owns Who and What", "who owns Stelco?"]),
    ],
)
def test_a_question_is_split_where_another_asking_begins(question, parts):
    assert texts(question) == parts


def test_clauses_are_numbered():
    question = "Who owns Stelco and Velmora, and who is Ada Lindqvist?"
    assert [clause.at for clause in clauses_of(question, subjects_in)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "question",
    [
        "Who owns Stelco and " + "who rules Velmora and " * 99 + "why?",
        "What are " + "a, " * 20_000 + "b and c of Velmora?",
        "Who owns Stelco?" + "\n" * 200_000,
        "a" * 200_000 + " and " + " " * 200_000,
        "\ue000 and \ue001 of Velmora" * 5,
    ],
)
def test_a_text_that_is_no_question_of_a_person_ends_soon(question):
    assert len(clauses_of(question, subjects_in)) <= 16


def test_subjects_are_looked_up_only_for_a_question_that_may_be_split():
    asked: list[str] = []
    clauses_of("The capital of Velmora is", lambda text: asked.append(text) or [])
    assert asked == []
