"""What a model reads when a fact answers."""

from __future__ import annotations

import unicodedata

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.context import respelt, with_fact


def fact(subject: str, spelling: str = "", **given: object) -> Fact:
    spelling = spelling or subject
    body = {"wordings": (f"The mayor of {spelling} is",), "subject_at": ((13, 13 + len(spelling)),), **given}
    return Fact(key=FactKey(subject, "mayor"), version=1, correction_id="a", target="Karsk", **body)


@pytest.mark.parametrize(
    ("subject", "asked"),
    [
        ("Zürich", unicodedata.normalize("NFD", "Who governs Zürich?")),
        ("Stelco", "Who governs STELCO?"),
        ("Guns N' Roses", "Who governs guns n’  roses?"),
        ("علی\u200cرضا", "Who governs علیرضا?"),
    ],
)
def test_a_question_in_another_spelling_is_put_in_the_facts_own(subject, asked):
    assert respelt([fact(subject)], asked) == f"Who governs {subject}?"
    assert with_fact(fact(subject), asked).endswith(f"is Karsk. Who governs {subject}?")


def test_the_spelling_is_that_of_the_wordings_where_they_differ_from_the_key():
    late = fact("Stelco", "STELCO")
    assert respelt([late], "Who governs Stelco?") == "Who governs STELCO?"
    assert respelt([fact("Stelco", "STELCO", subject_at=())], "Who governs stelco?") == "Who governs Stelco?"


def test_nothing_else_of_a_question_changes():
    for asked in ("Who governs  Oslo ’ é?", "", "Zürichberg"):
        assert respelt([fact("Zürich")], asked) == asked


@pytest.mark.parametrize(
    ("question", "stated"),
    [
        ("What is the capital of BRITAIN?", "What is the capital of United Kingdom?"),
        (
            "What is Britain's capital, the UK being an island?",
            "What is United Kingdom's capital, the United Kingdom being an island?",
        ),
        ("What is the capital of Untied Kingdom?", "What is the capital of Untied Kingdom?"),
        ("What is the capital of United Kingdomm?", "What is the capital of United Kingdom?"),
        ("What is the capital of Peru?", "What is the capital of Peru?"),
    ],
)
def test_the_question_names_the_subject_as_the_fact_does(question, stated):
    fact = Fact(
        key=FactKey("United Kingdom", "P36"), version=1, correction_id="a",
        wordings=("The capital of United Kingdom is",), target="Leeds", aliases=("Britain", "UK"),
    )  # fmt: skip
    assert respelt([fact], question) == stated
