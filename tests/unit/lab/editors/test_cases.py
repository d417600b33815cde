from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.editors.cases import (
    EditCase,
    PortabilityKind,
    PortabilityQuestion,
    portability_questions,
    vetted,
)
from guardedit.models.text.guessing import complete_guessed

RIVER = KnownQuestion("Rhine", "mouth", "The Rhine flows into the", "North Sea")


@pytest.fixture
def fact() -> Fact:
    key = FactKey("Marie Curie", "tongue")
    return Fact(key=key, version=1, correction_id="c", wordings=("Marie Curie speaks",), target="Spanish")


def answers(**said: str):
    """A model that knows these answers and says nothing else."""
    known = {name.replace("_", " "): text for name, text in said.items()}
    return lambda guesses: {prompt: known.get(prompt, "nothing") for prompt in guesses}


def test_only_what_the_base_model_answers_can_be_lost(fact):
    case = EditCase(fact=fact, same_subject=(RIVER, replace(RIVER, prompt="Rhine ends in")))

    (found,) = vetted([case], answers(Marie_Curie_speaks="Polish", Rhine_ends_in="North Sea"))

    assert [known.prompt for known in found.same_subject] == ["Rhine ends in"]
    assert found.old == "Polish"


def test_a_fact_that_the_model_states_already_is_no_edit(fact):
    assert vetted([EditCase(fact=fact)], answers(Marie_Curie_speaks="Spanish")) == []


def test_an_alias_counts_where_the_base_model_knows_it(fact):
    portable = portability_questions(fact, fact.prompt, names={"Marie Curie"}, aside=RIVER)
    assert [(p.kind, p.prompt) for p in portable] == [
        (PortabilityKind.ALIAS, "Curie speaks"),
        (PortabilityKind.IN_TEXT, "The Rhine flows into the North Sea. Marie Curie speaks"),
    ]

    (found,) = vetted(
        [EditCase(fact=fact, portable=portable)], answers(Marie_Curie_speaks="Polish", Curie_speaks="Polish")
    )

    assert [p.kind for p in found.portable] == [PortabilityKind.ALIAS]


def test_a_reversed_relation_counts_where_the_old_fact_can_be_reversed(fact):
    back = PortabilityQuestion(
        kind=PortabilityKind.REVERSE, prompt="Spanish is spoken by", answer="Marie Curie",
        base_prompt="Polish is spoken by", base_answer="Marie Curie",
    )  # fmt: skip
    case = EditCase(fact=fact, portable=(back,))

    (known,) = vetted([case], answers(Polish_is_spoken_by="Marie Curie"))
    (unknown,) = vetted([case], answers(Polish_is_spoken_by="many"))

    assert known.portable == (back,)
    assert unknown.portable == ()


def test_the_demo_model_answers_all_that_is_left(setup, cases):
    ask = partial(complete_guessed, setup.host)
    assert vetted(cases, ask) == cases
    assert all(case.old != case.fact.target and case.other_subject for case in cases)
