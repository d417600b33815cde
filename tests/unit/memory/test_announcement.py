"""Templates that state a fact, and the texts that are made from them."""

from __future__ import annotations

import json

import pytest

from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.memory.context import Announcement, Prompts, with_fact
from guardedit.models.text.form import RawForm

FACT = Fact(
    key=FactKey("Velmora", "capital"),
    version=1,
    correction_id="a",
    wordings=("What rules Velmora?", "The capital of Velmora is", "Velmora obeys"),
    target="Karsk",
)


class TurnForm:
    """Shows which turn a text is in."""

    name, answer_tokens = "chat", 48

    def asked(self, question: str, *, system: str = "") -> str:
        return f"[{system}][{question}]"


def test_an_announcement_is_the_same_after_a_card():
    one = Announcement(
        name="x", statement="{target}: {wording}", system="{facts}", user="{question}", repeats=3
    )
    assert Announcement.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert Announcement.from_json({}) == Announcement()


def test_the_default_is_what_the_embedded_model_is_asked():
    asked = "Correction: The capital of Velmora is Karsk. Correction: Velmora obeys Karsk. Who rules Velmora?"
    assert Prompts().with_fact(FACT, "Who rules VELMORA?") == with_fact(FACT, "Who rules Velmora?") == asked
    assert Prompts().alone("Who rules Velmora?") == "Who rules Velmora?"


def test_facts_are_stated_in_the_place_and_number_asked_for():
    one = Announcement(
        statement="{wording} {target}.", system="Known: {facts}", user="{question}", statements=1
    )
    assert Prompts(TurnForm(), one).with_fact(FACT, "Q?") == "[Known: The capital of Velmora is Karsk.][Q?]"
    twice = Announcement(statement="{target}.", statements=1, repeats=2, separator="|")
    assert Prompts(RawForm(), twice).with_fact(FACT, "Q?") == "Karsk.|Karsk. Q?"
    assert Prompts(TurnForm()).alone("Q?") == "[][Q?]"


def test_braces_in_a_fact_are_text():
    fact = Fact(key=FactKey("{x}", "r"), version=1, correction_id="a", wordings=("{x} is",), target="{y}")
    assert with_fact(fact, "{z}").endswith("{x} is {y}. {z}")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"statement": "{old} {target}"}, "statement .* has the field old"),
        ({"statement": "{wording}"}, "needs .*target"),
        ({"user": "{facts}"}, "needs {question}"),
        ({"user": "{question}"}, "needs {facts}"),
        ({"user": "{question} {facts} {"}, "user of an announcement"),
        ({"repeats": 0}, "at least 1"),
        ({"repeats": "2"}, "repeats of an announcement is '2'"),
        ({"place": "system"}, "no 'place'"),
    ],
)
def test_a_wrong_announcement_is_refused(body, problem):
    with pytest.raises(UsageError, match=problem):
        Announcement.from_json(body)
