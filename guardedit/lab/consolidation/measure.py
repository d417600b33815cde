"""Measures which version of a fact answers, by retrieval alone and with a model behind it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from guardedit.core.correction import decode_correction
from guardedit.core.fact import Fact
from guardedit.core.protocols import Clock
from guardedit.lab.consolidation.hops import find_chain
from guardedit.lab.consolidation.numbered import NumberedFact
from guardedit.lab.consolidation.questions import ListQuestion, single_hop, two_hop
from guardedit.lab.consolidation.store import FactStore
from guardedit.lab.field.through_memory import write_to_memory
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.naming import contains_name, identity, tokens
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many of `asked` questions were answered rightly, with an outdated answer, and not at all."""

    asked: int
    right: int
    outdated: int
    nothing: int

    @property
    def share(self) -> float:
        """Right answers over questions; NaN without questions."""
        return self.right / self.asked if self.asked else NAN


class Choice(NamedTuple):
    """Which questions are asked: up to `most` of each kind by `seed`, of one half or of both (None)."""

    most: int
    held_out: bool | None
    seed: int

    def of(self, questions: Sequence[ListQuestion]) -> list[ListQuestion]:
        """The chosen ones, in their order."""
        half = [one for one in questions if self.held_out in (None, one.held_out)]
        kept = sorted(random.Random(self.seed).sample(range(len(half)), min(self.most, len(half))))
        return [half[n] for n in kept]


class Consolidated(NamedTuple):
    """The measurements of one list.

    Attributes:
        facts: lines of the list.
        size: their words and signs.
        live: facts that are live after the last line.
        rows: measure -> counts. `single-hop` and `two-hop` are retrieval alone.
    """

    facts: int
    size: int
    live: int
    rows: dict[str, Counted]


def retrieve(
    facts: Sequence[NumberedFact],
    memory: RetrievalMemory,
    folder: Path,
    *,
    choice: Choice,
    clock: Clock,
    tell: Callable[[str], None] = lambda _: None,
) -> Consolidated:
    """Send the list fact by fact to a new ledger, then look the questions up in the memory.

    Args:
        facts: the list.
        memory: an empty memory.
        folder: for the ledger.
        choice: the questions.
        clock: seconds since 1970, UTC.
        tell: called with a line of text when a stage begins.
    """
    store = FactStore(folder, memory, clock)
    try:
        tell(f"sending {len(facts)} facts")
        store.send([one.message() for one in facts], name="list")
        single = choice.of(single_hop(facts))
        double = choice.of(two_hop(facts))
        tell(f"looking up {len(single)} questions over one fact")
        texts = [one.text for one in single]
        rows = {
            "single-hop": counted(single, _targets(store.best(texts))),
            "single-hop, in scope": counted(single, _targets(store.in_scope(texts))),
        }
        tell(f"looking up {len(double)} questions over two facts")
        chains = [find_chain(one.text, memory.scored, memory.subjects) for one in double]
        rows["two-hop"] = counted(double, [chain.answer if chain else "" for chain in chains])
        return Consolidated(len(facts), sum(len(tokens(one.statement)) for one in facts), len(memory), rows)
    finally:
        store.close()


def answer(
    facts: Sequence[NumberedFact],
    memory: RetrievalMemory,
    host: ModelHost,
    settings: Settings,
    policy: Policy,
    *,
    choice: Choice,
) -> dict[str, Counted]:
    """Let a model answer through the served memory. A right answer names the target in its first sentence.

    A question over two facts is decomposed by `memory`, and the model is asked what is left of it.

    Args:
        facts: the list; the newest of each are written into a memory of their own.
        memory: the memory that `retrieve` filled.
        host: the model.
        settings: names the encoder and the model.
        policy: its memory section.
        choice: the questions.
    """
    newest = [decode_correction(one.message()) for one in facts if one.is_new]
    asked = write_to_memory(settings, policy, host, newest).state.answer
    assert asked is not None  # the memory answers through the served read path
    single = choice.of(single_hop(facts))
    double = choice.of(two_hop(facts))
    chains = [find_chain(one.text, memory.scored, memory.subjects) for one in double]
    left = [chain.second.question if chain else one.text for chain, one in zip(chains, double, strict=True)]
    return {
        "single-hop, answered": counted(single, asked([one.text for one in single], None), said=True),
        "two-hop, answered": counted(double, asked(left, None), said=True),
    }


def counted(questions: Sequence[ListQuestion], answers: Sequence[str], *, said: bool = False) -> Counted:
    """Count answers: each must be the target itself, or with `said` name it in its first sentence."""
    right = outdated = 0
    for question, text in zip(questions, answers, strict=True):
        if _gives(text, question.answer, said=said):
            right += 1
        elif any(_gives(text, old, said=said) for old in question.outdated):
            outdated += 1
    nothing = sum(not text for text in answers)
    return Counted(asked=len(questions), right=right, outdated=outdated, nothing=nothing)


def _gives(text: str, target: str, *, said: bool) -> bool:
    return contains_name(text, target) if said else identity(text) == identity(target)


def _targets(facts: Sequence[Fact | None]) -> list[str]:
    return [fact.target if fact else "" for fact in facts]
