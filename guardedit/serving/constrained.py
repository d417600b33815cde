"""Answers from a fact in memory that the model does not obey, or that the question may not ask for.

Only with a limit in the model's memory card. A question that the scope test accepts is answered with the
fact's target, even if the model, with the fact stated beside it, says something else. Where the scope test is
unsure, the model judges: a question that it does not take to ask for the fact is answered as if there were no
fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from guardedit.core.fact import Fact, Placement
from guardedit.memory.context import Prompts
from guardedit.models.text.asking import Asking, answer_place
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
        self,
        host: AskingModel,
        facts: Sequence[Fact | None],
        questions: Sequence[str],
        scopes: Sequence[str],
    ) -> list[Fact | None]:
        """The facts, with None where the question does not ask for the fact.

        The model judges questions of `unsure` scope, except those in one of the fact's wordings. Facts in the
        weights are not judged.
        """
        limit = self.prompts.asking_nats
        if limit is None:
            return list(facts)
        judged = {
            n: asking_of(fact, question)
            for n, (fact, question, scope) in enumerate(zip(facts, questions, scopes, strict=True))
            if _in_memory(fact) and scope == "unsure" and question not in fact.wordings
        }
        scores = dict(zip(judged, host.asking_nats(list(judged.values())), strict=True)) if judged else {}
        return [None if scores.get(n, limit) < limit else fact for n, fact in enumerate(facts)]

    def obeyed(self, fact: Fact | None, question: str, text: str) -> str:
        """The answer: the model's text, or a forced one where no sentence of it names the fact's target.

        `fact` is one of those that `asked_for` left.
        """
        if self.prompts.asking_nats is None or fact is None or not _in_memory(fact):
            return text
        if any(contains_name(sentence, fact.target) for sentence in sentences(text)):
            return text
        return forced(fact, question, chat=self.prompts.form.name == "chat")


def forced(fact: Fact, question: str, *, chat: bool) -> str:
    """The target where a statement is continued, else the fact as a sentence.

    >>> from guardedit.core.fact import FactKey
    >>> key, wordings = FactKey("Velmora", "capital"), ("Velmora is ruled from",)
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> forced(fact, "The capital of Velmora is", chat=False), forced(fact, "Who rules Velmora?", chat=False)
    ('Karsk', 'Velmora is ruled from Karsk')
    """
    statement = next((wording for wording in fact.wordings if "?" not in wording), "")
    continues = not chat and not question.rstrip().endswith("?")
    return fact.target if continues or not statement else f"{statement} {fact.target}"


def _in_memory(fact: Fact | None) -> TypeGuard[Fact]:
    return fact is not None and fact.placement is Placement.MEMORY


def asking_of(fact: Fact, question: str) -> Asking:
    """A question with a wording of the fact that ends where its answer begins."""
    cloze = next((wording for wording in fact.wordings if "?" not in wording), "")
    return Asking(cloze or answer_place(fact.prompt), question)
