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


def test_an_accepted_question_gets_its_fact_and_the_model_judges_an_unsure_one():
    host = ScoringHost({"Velmora is ruled from": -2.0, "Velmora lies on the river": -9.0})
    questions = [*host.scores, "The capital of Velmora is", "Who rules Velmora?"]
    scopes = ["unsure", "unsure", "unsure", "accept"]
    assert ON.asked_for(host, [FACT] * 4, questions, scopes) == [FACT, None, FACT, FACT]
    assert [one.question for one in host.asked] == questions[:2]  # wordings and accepted ones are not judged
    assert {one.wording for one in host.asked} == {"The capital of Velmora is"}


def test_a_question_by_an_alias_is_judged_by_the_model_and_not_by_the_name():
    host = ScoringHost({"What is the seat of the Grey Realm?": -1.0})
    assert ON.asked_for(host, [FACT], list(host.scores), ["unsure"]) == [FACT]


def test_a_question_without_a_fact_is_not_judged():
    assert ON.asked_for(ScoringHost({}), [None], ["Oslo is"], ["out"]) == [None]


def test_without_a_limit_nothing_is_judged_or_forced():
    found = OFF.asked_for(ScoringHost({}), [FACT, None], ["Velmora eats", "x"], ["unsure", "out"])
    assert found == [FACT, None]
    assert OFF.obeyed(FACT, "Velmora is ruled from", "Oslo") == "Oslo"


def test_facts_in_the_weights_are_left_to_the_model():
    edited = FACT.placed(Placement.WEIGHTS)
    assert ON.asked_for(ScoringHost({}), [edited], ["Velmora eats"], ["unsure"]) == [edited]
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
