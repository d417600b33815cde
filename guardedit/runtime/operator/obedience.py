"""Whether the base model obeys the facts in memory: each is stated to it beside each of its wordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from guardedit.core.fact import Fact, Placement
from guardedit.naming import contains_name
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.memory.context import Prompts


class CompletingModel(Protocol):
    """The part of `ModelHost` that is needed here."""

    def complete(self, prompts: Sequence[str]) -> list[str]:
        """Greedy answers."""


@dataclass(frozen=True, slots=True)
class ObeyedFact:
    """How often the model names the target of a fact that is stated to it.

    Attributes:
        fact: in memory.
        obeyed: askings whose answer names the target.
        asked: all askings, one for each wording.
        forced: where the model does not obey, the answer is forced (`serving.constrained`).
    """

    fact: Fact
    obeyed: int
    asked: int
    forced: bool

    @property
    def summary(self) -> str:
        """One phrase for people."""
        if self.obeyed == self.asked:
            return "in memory, obeyed"
        forced = ", answered with the target all the same" if self.forced else ""
        return f"in memory, not obeyed: {self.asked - self.obeyed} of {self.asked} askings{forced}"


def check_facts(settings: Settings, facts: Sequence[Fact], tell: Callable[[str], None]) -> list[ObeyedFact]:
    """Load the base model and ask it for the facts that are in memory."""
    from guardedit import assembly

    tell("loading the model")
    host = assembly.load_host(settings)
    tell("asking")
    return obedience(host, assembly.load_prompts(settings), facts)


def obedience(host: CompletingModel, prompts: Prompts, facts: Sequence[Fact]) -> list[ObeyedFact]:
    """How often the model obeys each of the facts in memory; facts in the weights are left out."""
    in_memory = [fact for fact in facts if fact.placement is Placement.MEMORY]
    asked = [(fact, wording) for fact in in_memory for wording in fact.wordings]
    texts = host.complete([prompts.with_fact(fact, wording) for fact, wording in asked])
    obeyed = dict.fromkeys((fact.id for fact in in_memory), 0)
    for (fact, _), text in zip(asked, texts, strict=True):
        obeyed[fact.id] += contains_name(text, fact.target)
    forced = prompts.asking_nats is not None
    return [ObeyedFact(fact, obeyed[fact.id], len(fact.wordings), forced) for fact in in_memory]
