"""How long a build will take, from a few facts that are scored first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.prepare.facts import PublicFact, cloze
from guardedit.prepare.probes.candidates import WORDINGS, asked_wordings
from guardedit.prepare.probes.known import ANSWER_TOKENS, screen

#: Facts that are scored to see how fast the model is.
SAMPLE = 24
#: Share of facts that pass the screening, and of facts that a small model is found to know. Experience.
LIKELY, KNOWN = 0.3, 0.12
#: A generated token takes as long as this many tokens of a prompt.
GENERATED_COST = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a build will cost.

    Attributes:
        facts: that are screened.
        tokens: of forward passes, generated ones weighted by what they take.
        seconds: for these.
    """

    facts: int
    tokens: int
    seconds: float


def estimate(
    host: ModelHost,
    prompts: Prompts,
    facts: Sequence[PublicFact],
    *,
    questions: int,
    noise: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """The cost of screening `facts` and finding `questions` among them. Scores a few facts."""
    sample = facts[:SAMPLE]
    if not sample:
        return Estimate(facts=0, tokens=0, seconds=0.0)
    started = clock()
    screen(host, sample)
    seconds = clock() - started
    screened = _mean([len(encode(host.tokenizer, f"{cloze(fact)} {fact.object}")) for fact in sample])
    asked = _mean(
        [
            len(encode(host.tokenizer, prompts.alone(text)))
            for fact in sample
            for text in _texts(fact, prompts)
        ]
    )
    scored = min(questions, KNOWN * len(facts)) * WORDINGS * (1 + noise) * (asked + 4)
    tokens = len(facts) * screened + scored
    if prompts.form.name == "chat":
        generated = asked + GENERATED_COST * ANSWER_TOKENS
        tokens += min(LIKELY * len(facts), questions / KNOWN * LIKELY) * WORDINGS * generated
    return Estimate(
        facts=len(facts), tokens=round(tokens), seconds=tokens * seconds / (len(sample) * screened)
    )


def _texts(fact: PublicFact, prompts: Prompts) -> tuple[str, ...]:
    return asked_wordings(fact, prompts.form.name)


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers)
