"""Texts and questions that neither the guard nor the model has seen: what harm is measured on.

The texts are sentences written for this project that stand in no probe set and no training text. The
questions ask for what the model knows in wordings that training never showed with that fact, and that are
not the probe set's. Knows a worker; decides nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from guardedit.core.errors import UsageError
from guardedit.core.probe import Kind, Probes, Question
from guardedit.core.protocols import Worker
from guardedit.guard.perplexity import Logprobs
from guardedit.zoo.world import World

#: Questions that are asked; those that the base model answers wrongly are left out again.
QUESTIONS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What is measured, and what the base model makes of it: it answers every question as expected."""

    probes: Probes
    base: Logprobs


def held_out(
    world: World,
    worker: Worker,
    texts: Sequence[str],
    *,
    seen: Collection[str],
    seed: int,
    count: int = QUESTIONS,
) -> HeldOut:
    """Choose questions and measure the base model.

    Args:
        world: facts that the model knows.
        worker: of the base model.
        texts: for the perplexity.
        seen: texts and prompts of the guard's probe set.
        seed: of the choice.
        count: questions asked.

    Raises:
        UsageError: when the guard has one of the texts, or when the base model answers no question.
    """
    if known := sorted(set(texts) & set(seen)):
        raise UsageError(f"the guard's probe set has {known[0]!r}: take it out, or measure on another text")
    rows = [
        (fact, prompt)
        for fact in world.facts
        for prompt in (world.prompt(fact, i) for i in sorted(world.hidden(fact)))
        if prompt not in seen
    ]
    questions = [
        Question(
            prompt=prompt,
            kind=Kind.OTHER_SUBJECT,
            expected=fact.object,
            subject=fact.subject,
            relation=fact.relation,
        )
        for fact, prompt in random.Random(seed).sample(rows, min(count, len(rows)))
    ]
    found = worker.measure((), Probes(texts=tuple(texts), questions=tuple(questions)))
    right = tuple(question for question in questions if found.answers[question.prompt] == question.expected)
    if not right:
        raise UsageError("the base model answers none of the held-out questions: is this the world it knows?")
    return HeldOut(probes=Probes(texts=tuple(texts), questions=right), base=found.logprobs)
