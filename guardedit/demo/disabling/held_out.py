"""Chooses held-out texts and questions, which neither guard nor model saw. Harm is measured on them.

The texts were written for this project and are in no probe set and no training text. The questions ask for
known facts in wordings that training never showed with that fact and that the probe set does not contain.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from guardedit.core.errors import UsageError
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.core.protocols import Worker
from guardedit.guard.perplexity import Logprobs
from guardedit.zoo.world import World

#: Questions that are tried. Those that the base model answers wrongly are left out.
QUESTIONS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Texts and questions. The base model answers every question as expected.

    Attributes:
        probes: texts and questions.
        base: log-probabilities of the texts under the base model.
    """

    probes: Probes
    base: Logprobs


def choose_held_out(
    world: World,
    worker: Worker,
    texts: Sequence[str],
    *,
    seen: Collection[str],
    seed: int,
) -> HeldOut:
    """Choose questions and measure the base model.

    Args:
        world: facts that the model knows.
        worker: worker of the base model.
        texts: texts for measuring perplexity.
        seen: texts and prompts of the guard's probe set.
        seed: seed of the choice.

    Raises:
        UsageError: when one of the texts is in `seen`, or the base model answers no question.
    """
    if known := sorted(set(texts) & set(seen)):
        raise UsageError(f"the guard's probe set has {known[0]!r}: remove it, or measure on another text")
    rows = [
        (fact, prompt)
        for fact in world.facts
        for prompt in (world.prompt(fact, i) for i in sorted(world.hidden(fact)))
        if prompt not in seen
    ]
    questions = [
        Question(
            prompt=prompt,
            kind=QuestionKind.OTHER_SUBJECT,
            expected=fact.object,
            subject=fact.subject,
            relation=fact.relation,
        )
        for fact, prompt in random.Random(seed).sample(rows, min(QUESTIONS, len(rows)))
    ]
    found = worker.measure((), Probes(texts=tuple(texts), questions=tuple(questions)))
    right = tuple(question for question in questions if found.answers[question.prompt] == question.expected)
    if not right:
        raise UsageError(
            "the base model answers none of the held-out questions: run the demo with the demo model"
        )
    return HeldOut(probes=Probes(texts=tuple(texts), questions=right), base=found.logprobs)
