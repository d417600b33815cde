"""Chooses held-out texts and questions, which neither guard nor model saw. Harm is measured on them.

The texts were written for this project and are in no probe set and no training text. The questions ask for
known facts in wordings that training never showed with that fact and that the probe set does not contain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from guardedit.core.errors import UsageError
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.core.protocols import Worker
from guardedit.demo.worlds.stream_world import IsRight, StreamWorld, exact
from guardedit.guard.perplexity import Logprobs

#: Questions that are tried. Those that the base model answers wrongly are left out.
QUESTIONS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Texts and questions. The base model answers every question as expected.

    Attributes:
        probes: texts and questions.
        base: log-probabilities of the texts under the base model.
        is_right: whether an answer counts as the expected one.
        texts_first: a model that is disabled by its perplexity is not asked. A ruined chat model does not end
            its sentences, so that its answers take most of the time.
    """

    probes: Probes
    base: Logprobs
    is_right: IsRight = exact
    texts_first: bool = False

    def kept(self, answers: Mapping[str, str], question: Question) -> bool:
        """Whether the answer to one of the questions is still right."""
        return self.is_right(answers[question.prompt], question.expected or "")


def choose_held_out(
    world: StreamWorld,
    worker: Worker,
    texts: Sequence[str],
    *,
    seen: Collection[str],
    seed: int,
    count: int = QUESTIONS,
    asked: Callable[[str], str] = str,
    is_right: IsRight = exact,
    texts_first: bool = False,
) -> HeldOut:
    """Choose questions and measure the base model.

    Args:
        world: facts that the model knows.
        worker: worker of the base model.
        texts: texts for measuring perplexity.
        seen: texts and prompts of the guard's probe set.
        seed: seed of the choice.
        count: questions that are tried.
        asked: from a question to the text that the model is given.
        is_right: whether an answer counts as the expected one.
        texts_first: see `HeldOut`.

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
            prompt=asked(prompt),
            asked=prompt,
            kind=QuestionKind.OTHER_SUBJECT,
            expected=fact.object,
            subject=fact.subject,
            relation=fact.relation,
        )
        for fact, prompt in random.Random(seed).sample(rows, min(count, len(rows)))
    ]
    found = worker.measure((), Probes(texts=tuple(texts), questions=tuple(questions)))
    right = tuple(q for q in questions if is_right(found.answers[q.prompt], q.expected or ""))
    if not right:
        raise UsageError(
            "the base model answers none of the held-out questions: run the demo with the demo model"
        )
    return HeldOut(
        probes=Probes(texts=tuple(texts), questions=right),
        base=found.logprobs,
        is_right=is_right,
        texts_first=texts_first,
    )
