"""Answers from a fact in memory that the model does not obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.memory.context import Prompts
from guardedit.models.text.asking import Asking
from guardedit.serving.constrained import Constraint, forced

FACT = Fact(
    key=FactKey("Velmora", "capital"),
    version=1,
    correction_id="a",
    wordings=("The capital of Velmora is",),
    target="Karsk",
)
ON = Constraint(Prompts(asking_nats=-5.0))
OFF = Constraint(Prompts())


@dataclass
class ScoringHost:
    """Scores questions by a table."""

    scores: dict[str, float]
    asked: list[Asking] = field(default_factory=list)

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        self.asked += asked
        return [self.scores[one.question] for one in asked]


def test_a_question_that_does_not_ask_for_the_fact_is_answered_without_it():
    host = ScoringHost({"Velmora is ruled from": -2.0, "Velmora lies on the river": -9.0})
    questions = ["Velmora is ruled from", "Velmora lies on the river", "The capital of Velmora is", "Oslo is"]
    assert ON.asked_for(host, [FACT] * 4, questions) == [FACT, None, FACT, None]
    assert [one.question for one in host.asked] == questions[:2]  # wordings and other subjects are not judged
    assert {one.wording for one in host.asked} == {"The capital of Velmora is"}


def test_without_a_limit_nothing_is_judged_or_forced():
    assert OFF.asked_for(ScoringHost({}), [FACT, None], ["Velmora eats", "x"]) == [FACT, None]
    assert OFF.obeyed(FACT, "Velmora is ruled from", "Oslo") == "Oslo"


def test_facts_in_the_weights_are_left_to_the_model():
    edited = FACT.placed(Placement.WEIGHTS)
    assert ON.asked_for(ScoringHost({}), [edited], ["Velmora eats"]) == [edited]
    assert ON.obeyed(edited, "Velmora is ruled from", "Oslo") == "Oslo"


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("The capital of Velmora is", "Karsk, a city", "Karsk, a city"),
        ("The capital of Velmora is", "Oslo", "Karsk"),
        ("Who rules Velmora?", "Oslo does", "The capital of Velmora is Karsk"),
    ],
)
def test_an_answer_without_the_target_is_forced(question, text, answer):
    assert ON.obeyed(FACT, question, text) == answer


def test_a_chat_model_says_the_fact_as_a_sentence():
    assert forced(FACT, "The capital of Velmora is", chat=True) == "The capital of Velmora is Karsk"
    asked = Fact(key=FACT.key, version=1, correction_id="a", wordings=("Who rules Velmora?",), target="Karsk")
    assert forced(asked, "Who rules Velmora?", chat=True) == "Karsk"
