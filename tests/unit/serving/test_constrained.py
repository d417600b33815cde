"""Answers from a fact in memory that the model does not obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.serving import ScopedFact
from guardedit.memory.context import Prompts, forced
from guardedit.models.text.asking import Asking
from guardedit.serving.constrained import Constraint

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


def scoped(clause: str, scope: str = "unsure", fact: Fact = FACT) -> ScopedFact:
    return ScopedFact(fact=fact, scope=scope, score=0.5, clause=clause)


def test_an_accepted_question_gets_its_fact_and_the_model_judges_an_unsure_one():
    host = ScoringHost({"Velmora is ruled from": -2.0, "Velmora lies on the river": -9.0})
    unsure = [scoped(question) for question in (*host.scores, "The capital of Velmora is")]
    found = [(one,) for one in (*unsure, scoped("Who rules Velmora?", "accept"))]
    assert ON.asked_for(host, found) == [found[0], (), found[2], found[3]]
    # Wordings of the fact and accepted clauses are not judged.
    assert [one.question for one in host.asked] == list(host.scores)
    assert {one.wording for one in host.asked} == {"The capital of Velmora is"}


def test_of_several_facts_each_is_judged_with_its_own_clause():
    host = ScoringHost({"who rules Velmora": -9.0, "who rules Ostrania": -1.0})
    first, second = (scoped(clause) for clause in host.scores)
    assert ON.asked_for(host, [(first, second)]) == [(second,)]


def test_a_question_by_an_alias_is_judged_by_the_model_and_not_by_the_name():
    one = scoped("What is the seat of the Grey Realm?")
    assert ON.asked_for(ScoringHost({one.clause: -1.0}), [(one,)]) == [(one,)]


def test_a_question_without_a_fact_is_not_judged():
    assert ON.asked_for(ScoringHost({}), [()]) == [()]


def test_without_a_limit_nothing_is_judged_or_forced():
    one = scoped("Velmora eats")
    assert OFF.asked_for(ScoringHost({}), [(one,), ()]) == [(one,), ()]
    assert OFF.obeyed([one], "Velmora is ruled from", "Oslo") == "Oslo"


def test_facts_in_the_weights_are_left_to_the_model():
    edited = scoped("Velmora eats", fact=FACT.placed(Placement.WEIGHTS))
    assert ON.asked_for(ScoringHost({}), [(edited,)]) == [(edited,)]
    assert ON.obeyed([edited], "Velmora is ruled from", "Oslo") == "Oslo"


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("The capital of Velmora is", "Karsk, a city", "Karsk, a city"),
        ("The capital of Velmora is", "Oslo", "Karsk"),
        ("Who rules Velmora?", "Oslo does", "The capital of Velmora is Karsk"),
    ],
)
def test_an_answer_without_the_target_is_forced(question, text, answer):
    assert ON.obeyed([scoped(question)], question, text) == answer


def test_a_chat_model_says_the_fact_as_a_sentence():
    assert forced(FACT, "The capital of Velmora is", chat=True) == "The capital of Velmora is Karsk"
    asked = Fact(key=FACT.key, version=1, correction_id="a", wordings=("Who rules Velmora?",), target="Karsk")
    assert forced(asked, "Who rules Velmora?", chat=True) == "Karsk"


RIVER = Fact(
    key=FactKey("Velmora", "river"),
    version=1,
    correction_id="b",
    wordings=("Velmora lies on the",),
    target="Tarn",
)


@pytest.mark.parametrize("constraint", [ON, OFF])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Karsk, on the Tarn", "Karsk, on the Tarn"),
        ("Karsk.", "Karsk. Velmora lies on the Tarn"),
        ("Oslo", "The capital of Velmora is Karsk. Velmora lies on the Tarn"),
    ],
)
def test_of_several_facts_those_that_the_model_leaves_out_are_added(constraint, text, answer):
    used = [scoped("the capital of Velmora", "accept"), scoped("the river", "accept", RIVER)]
    assert constraint.obeyed(used, "What are the capital and the river of Velmora?", text) == answer


def test_what_the_weights_may_have_answered_stays_when_a_fact_is_added():
    used = [scoped("a", "accept", FACT.placed(Placement.WEIGHTS)), scoped("b", "accept", RIVER)]
    assert ON.obeyed(used, "?", "It is Karsk") == "It is Karsk. Velmora lies on the Tarn"
