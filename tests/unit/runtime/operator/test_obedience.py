"""Whether the model obeys facts in memory, in numbers and in a phrase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.memory.context import Prompts
from guardedit.runtime.operator.obedience import obedience


class StubbornHost:
    """Says Karsk only where it is asked for a capital."""

    def complete(self, prompts: Sequence[str]) -> list[str]:
        return [
            "Karsk, a city" if prompt.endswith("The capital of Velmora is") else "Oslo" for prompt in prompts
        ]


def fact(*wordings: str) -> Fact:
    key = FactKey("Velmora", "capital")
    return Fact(key=key, version=1, correction_id="a", wordings=wordings, target="Karsk")


@pytest.mark.parametrize(
    ("wordings", "summary"),
    [
        (("The capital of Velmora is",), "in memory, obeyed"),
        (("The capital of Velmora is", "Velmora obeys"), "in memory, not obeyed: 1 of 2 askings"),
        (("Velmora obeys",), "in memory, not obeyed: 1 of 1 askings"),
    ],
)
def test_each_wording_is_asked_once(wordings, summary):
    (found,) = obedience(StubbornHost(), Prompts(), [fact(*wordings)])
    assert (found.summary, found.asked) == (summary, len(wordings))


def test_with_a_limit_the_answer_is_forced():
    (found,) = obedience(StubbornHost(), Prompts(asking_nats=-5.0), [fact("Velmora obeys")])
    assert found.forced
    assert found.summary.endswith("answered with the target all the same")


def test_facts_in_the_weights_are_not_asked():
    assert obedience(StubbornHost(), Prompts(), [replace(fact("x"), placement=Placement.WEIGHTS)]) == []
