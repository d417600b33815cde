"""Answers from a fact in memory that the model does not obey, or that the question may not ask for.

Only with a limit in the model's memory card. A question that the scope test accepts is answered with the
fact's target, even if the model, with the fact stated beside it, says something else. Where the scope test is
unsure, the model judges: a question that it does not take to ask for the fact is answered as if there were no
fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guardedit.core.fact import Fact, Placement
from guardedit.core.serving import ScopedFact
from guardedit.memory.context import Prompts, forced
from guardedit.models.text.asking import Asking, answer_place
from guardedit.models.text.plain import plain
from guardedit.naming import contains_name, sentences


class AskingModel(Protocol):
    """The part of `ModelHost` that is needed here."""

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        """How likely the model thinks of the fact's old answer at each question, as log-probability."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which questions a fact in memory answers, and how the answer is forced.

    Attributes:
        prompts: texts and limit of the model.
    """

    prompts: Prompts

    def asked_for(
        self, host: AskingModel, found: Sequence[Sequence[ScopedFact]]
    ) -> list[tuple[ScopedFact, ...]]:
        """For each question, the facts that it asks for.

        The model judges facts of `unsure` scope, except where the clause is one of the fact's wordings. Facts
        in the weights are not judged.
        """
        limit = self.prompts.asking_nats
        if limit is None:
            return [tuple(each) for each in found]
        judged = list(dict.fromkeys(_asking(one) for each in found for one in each if _is_judged(one)))
        scores = dict(zip(judged, host.asking_nats(judged), strict=True)) if judged else {}
        return [
            tuple(one for one in each if not _is_judged(one) or scores[_asking(one)] >= limit)
            for each in found
        ]

    def obeyed(self, used: Sequence[ScopedFact], question: str, text: str) -> str:
        """The answer: the model's text, and a forced one for each fact whose target no sentence of it names.

        One fact is forced only with a limit in the memory card; of several, those that the model leaves out
        are always added, because a model often answers the first part of a question only.

        Args:
            used: of the facts that `asked_for` left.
            question: what was asked.
            text: what the model said.
        """
        missing = self.missing(used, text)
        if not missing or not self.forces(used):
            return text
        chat = self.prompts.form.name == "chat" or len(used) > 1
        added = [forced(fact, question, chat=chat) for fact in missing]
        said = [] if len(missing) == len(used) else [text.rstrip().rstrip(".")]
        return ". ".join([*said, *added])

    def forces(self, used: Sequence[ScopedFact]) -> bool:
        """Whether an answer from these facts may be forced."""
        limited = self.prompts.asking_nats is not None or len(used) > 1
        return limited and any(one.fact.placement is Placement.MEMORY for one in used)

    def missing(self, used: Sequence[ScopedFact], text: str) -> list[Fact]:
        """The facts in memory whose target no sentence of a text names."""
        said = list(sentences(text))
        return [
            one.fact
            for one in used
            if one.fact.placement is Placement.MEMORY
            and not any(contains_name(sentence, one.fact.target) for sentence in said)
        ]


def _is_judged(one: ScopedFact) -> bool:
    in_memory = one.fact.placement is Placement.MEMORY
    return in_memory and one.scope == "unsure" and one.clause not in one.fact.wordings


def _asking(one: ScopedFact) -> Asking:
    return asking_of(one.fact, one.clause)


def asking_of(fact: Fact, question: str) -> Asking:
    """A question with a wording of the fact that ends where its answer begins."""
    cloze = next((wording for wording in fact.wordings if "?" not in wording), "")
    return Asking(plain(cloze) or answer_place(plain(fact.prompt)), question)
