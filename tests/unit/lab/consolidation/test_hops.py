"""A question over two facts: which phrase is looked up first, and what is left of the question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.lab.consolidation.hops import find_chain
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.store import RetrievalMemory
from guardedit.naming import contains_name, identity


def fact(subject: str, prompt: str, target: str) -> Fact:
    return Fact(
        key=FactKey(subject, prompt),
        version=1,
        correction_id="c",
        wordings=(prompt.format(subject),),
        target=target,
    )


FACTS = (
    fact("Ada", "{} was born in the country of", "Norway"),
    fact("Ada", "{} is married to", "Bob"),
    fact("Norway", "The capital of {} is", "Lima"),
    fact("Bob", "{} works as a", "pilot"),
    fact("Eve", "{} was born in the country of", "Peru"),
)
#: Words of a question that show which fact it asks for.
WORDS = {"born": "born", "married": "married", "spouse": "married", "capital": "capital", "job": "works"}


def fits(one: Fact, text: str) -> float:
    known = any(WORDS[word] in one.prompt for word in WORDS if word in text)
    return known / (1 + abs(len(text.split()) - 4))


def scored(questions: Sequence[str]) -> list[list[tuple[Fact, float]]]:
    """A memory that knows a few words, and likes questions of four words."""
    return [
        sorted(
            ((one, fits(one, text)) for one in FACTS if contains_name(text, one.key.subject)),
            key=lambda pair: -pair[1],
        )
        for text in questions
    ]


def named(texts: Sequence[str]) -> list[list[str]]:
    subjects = dict.fromkeys(one.key.subject for one in FACTS)
    return [[name for name in subjects if contains_name(text, name)] for text in texts]


@pytest.mark.parametrize(
    ("question", "first", "left", "answer"),
    [
        ("the capital of where Ada was born", "where Ada was born", "the capital of Norway", "Lima"),
        ("the job of Ada's spouse", "Ada's spouse", "the job of Bob", "pilot"),
        ("What job has he that Ada married?", "he that Ada married", "What job has Bob?", "pilot"),
    ],
)
def test_the_answer_of_a_phrase_takes_its_place(question, first, left, answer):
    found = find_chain(question, scored, named)
    assert found is not None
    assert (found.first.question, found.second.question, found.answer) == (first, left, answer)
    assert found.score == found.first.score * found.second.score


@pytest.mark.parametrize(
    "question",
    [
        "the capital of where Eve was born",  # no fact about Peru
        "the capital of where Tom was born",  # no fact about Tom
        "Ada",
        "",
    ],
)
def test_without_a_second_fact_there_is_no_chain(question):
    assert find_chain(question, scored, named) is None


def test_with_the_real_memory():
    memory = RetrievalMemory(SentenceEncoder.load())
    memory.apply([Change(one.key, one) for one in FACTS])
    for question, answer in (
        ("What is the capital of the country where Ada was born?", "Lima"),
        ("What does the husband of Ada do for a living?", "pilot"),
    ):
        found = find_chain(question, memory.scored, memory.subjects)
        assert found is not None
        assert identity(found.answer) == identity(answer)
