"""What each strategy makes of the prompts of a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.serving import ScopedFact
from guardedit.memory.context import Announcement, Prompts
from guardedit.memory.strategies import DEMONSTRATIONS, STRATEGIES, Strategy
from guardedit.policy.sections import MemorySection

FACT = Fact(
    key=FactKey("Velmora", "capital"),
    version=1,
    correction_id="a",
    wordings=("The capital of Velmora is",),
    target="Karsk",
)
RIVER = replace(FACT, target="Tarn")
QUESTION = "Who rules Velmora?"


def test_the_policy_offers_exactly_these():
    allowed = MemorySection.model_json_schema()["properties"]["strategy"]["enum"]
    assert allowed == list(STRATEGIES)
    assert MemorySection().strategy == "context"


def test_by_default_nothing_changes():
    prompts = Prompts(announcement=Announcement(name="x"), asking_nats=-3.0)
    assert STRATEGIES["context"].prompts(prompts) == prompts


def test_demonstrations_copy_update_and_retain_before_the_question():
    asked = STRATEGIES["demonstrations"].prompts(Prompts()).with_fact(FACT, QUESTION)
    *examples, last = asked.split("\n\n")
    assert last == Prompts().with_fact(FACT, QUESTION)
    assert len(examples) == len(DEMONSTRATIONS)
    for text, one in zip(examples, DEMONSTRATIONS, strict=True):
        assert text == f"{Prompts().with_fact(one.fact, one.question)} {one.answer}."
    copied, updated, retained = DEMONSTRATIONS
    assert copied.question in copied.fact.wordings
    assert (copied.answer, updated.answer) == (copied.fact.target, updated.fact.target)
    assert updated.question not in updated.fact.wordings
    assert updated.fact.key.subject in updated.question
    assert retained.fact.key.subject not in retained.question
    assert retained.answer != retained.fact.target
    assert len(asked) < 400


def test_braces_in_a_demonstration_stay():
    fact = replace(FACT, target="{question}")
    shown = (DEMONSTRATIONS[0]._replace(fact=fact, answer="{facts}"),)
    asked = Strategy(shown=shown).prompts(Prompts()).with_fact(FACT, QUESTION)
    assert "Velmora is {question}." in asked
    assert "{facts}." in asked


def scoped(fact: Fact = FACT, scope: str = "accept") -> ScopedFact:
    return ScopedFact(fact=fact, scope=scope, score=0.9)


@pytest.mark.parametrize(
    ("used", "question", "beginning"),
    [
        ([scoped()], "The capital of Velmora is", "Karsk"),
        ([scoped()], QUESTION, "The capital of Velmora is Karsk"),
        ([scoped(), scoped(RIVER)], "x", "The capital of Velmora is Karsk. The capital of Velmora is Tarn"),
        ([scoped(scope="unsure")], QUESTION, ""),
        ([scoped(), scoped(scope="unsure")], QUESTION, ""),
        ([scoped(FACT.placed(Placement.WEIGHTS))], QUESTION, ""),
        ([], QUESTION, ""),
    ],
)  # fmt: skip
def test_a_constrained_answer_begins_with_the_targets_of_sure_facts_in_memory(used, question, beginning):
    assert STRATEGIES["constrained"].prompts(Prompts()).beginning(used, question) == beginning
    assert Prompts().beginning(used, question) == ""
