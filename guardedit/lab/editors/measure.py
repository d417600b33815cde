"""Scores a set of edits: freely generated answers, compared as a whole, and perplexity on ordinary text."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.lab.editors.cases import EditCase, PortabilityKind
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.weights.fold import Fold

T = TypeVar("T")


class Measure(StrEnum):
    """Shares of correct answers, by kind of question."""

    RELIABILITY = "reliability"  # the edit's own prompt
    GENERALIZATION = "generalization"  # wordings that the method was not given
    LOCALITY = "locality"  # subjects that are never edited
    SAME_SUBJECT = "same_subject"  # other facts of the edited subject
    PORTABILITY = "portability"  # see `cases.PortabilityKind`


#: Measures of answers that an edit must not change.
UNCHANGED = (Measure.LOCALITY, Measure.SAME_SUBJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditQuestion:
    """One question to ask after an edit.

    Attributes:
        measure: measure in which the answer counts.
        fact: id of the edited fact to which the question belongs.
        prompt: the question.
        wanted: the correct answer.
        old: the base model's answer, which is the likeliest wrong one; empty when it equals `wanted`.
        kind: kind of a portability question.
    """

    measure: Measure
    fact: str
    prompt: str
    wanted: str
    old: str = ""
    kind: PortabilityKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCounts:
    """Correct answers and questions, by measure and by kind of portability. Sets of edits add up."""

    right: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: AnswerCounts) -> AnswerCounts:
        return AnswerCounts(right=_sum(self.right, other.right), asked=_sum(self.asked, other.asked))

    def share(self, name: str) -> float:
        """Share of correct answers; NaN without questions.

        >>> AnswerCounts(right={"locality": 1}, asked={"locality": 2}).share("locality")
        0.5
        """
        asked = self.asked.get(name, 0)
        return self.right.get(name, 0) / asked if asked else math.nan

    @property
    def shares(self) -> dict[str, float]:
        """Every measure, and `portability_<kind>` for every kind."""
        names = (*Measure, *(_kind_name(kind) for kind in PortabilityKind))
        return {str(name): self.share(name) for name in names}


def questions(
    cases: Sequence[EditCase], *, edited: Collection[FactKey], most: int | None = None
) -> list[EditQuestion]:
    """The questions to ask after the edits of `cases`.

    Args:
        cases: edits that were made.
        edited: keys of all facts edited so far. They are not asked as facts that must be unchanged.
        most: most questions per measure, evenly spaced over the cases; None: all. The edits' own prompts
            are always all asked.
    """
    found: dict[Measure, dict[tuple[str, str], EditQuestion]] = {measure: {} for measure in Measure}
    for case in cases:
        for one in _questions(case, edited):
            # A question about an unchanged answer counts once, however many cases contain it.
            fact = "" if one.measure in UNCHANGED else one.fact
            found[one.measure].setdefault((fact, one.prompt), one)
    return [
        one
        for measure, rows in found.items()
        for one in spaced(list(rows.values()), None if measure is Measure.RELIABILITY else most)
    ]


def _questions(case: EditCase, edited: Collection[FactKey]) -> Iterable[EditQuestion]:
    fact, old = case.fact, case.old
    yield _about(Measure.RELIABILITY, fact, fact.prompt, old)
    for wording in case.unseen:
        yield _about(Measure.GENERALIZATION, fact, wording, old)
    for measure, rows in (
        (Measure.LOCALITY, case.other_subject),
        (Measure.SAME_SUBJECT, case.same_subject),
    ):
        for known in rows:
            if FactKey(known.subject, known.relation, fact.key.tenant) not in edited:
                yield EditQuestion(measure=measure, fact=fact.id, prompt=known.prompt, wanted=known.answer)
    for portable in case.portable:
        yield EditQuestion(
            measure=Measure.PORTABILITY,
            fact=fact.id,
            prompt=portable.prompt,
            wanted=portable.answer,
            old=old,
            kind=portable.kind,
        )


def _about(measure: Measure, fact: Fact, prompt: str, old: str) -> EditQuestion:
    return EditQuestion(measure=measure, fact=fact.id, prompt=prompt, wanted=fact.target, old=old)


def spaced(items: Sequence[T], most: int | None) -> list[T]:
    """At most `most` items, evenly spaced, including the first; all when `most` is None.

    >>> spaced("abcdef", 3)
    ['a', 'c', 'e']
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


def ask(host: ModelHost, asked: Sequence[EditQuestion]) -> list[bool]:
    """Whether the model, with its current weights, answers each question correctly."""
    guesses: dict[str, list[str]] = {}
    for one in asked:
        guesses.setdefault(one.prompt, []).extend(text for text in (one.wanted, one.old) if text)
    answers = complete_guessed(host, guesses)
    return [answers[one.prompt] == one.wanted for one in asked]


def count(asked: Sequence[EditQuestion], correct: Sequence[bool]) -> AnswerCounts:
    """Sum by measure. A portability question also counts for its kind."""
    total: dict[str, int] = {}
    right: dict[str, int] = {}
    for one, hit in zip(asked, correct, strict=True):
        for name in (one.measure.value, *(() if one.kind is None else (_kind_name(one.kind),))):
            total[name] = total.get(name, 0) + 1
            right[name] = right.get(name, 0) + hit
    return AnswerCounts(right=right, asked=total)


def refused(cases: Sequence[EditCase]) -> AnswerCounts:
    """Counts for edits that a method declined: every answer that should have changed is wrong."""
    rows = [one for one in questions(cases, edited=()) if one.measure not in UNCHANGED]
    return count(rows, [False] * len(rows))


@dataclass(frozen=True, slots=True)
class Examiner:
    """Measures edits of one base model.

    Attributes:
        host: unpatched.
        fold: fold of the edits.
        texts: texts for measuring perplexity.
        base: log-probabilities of the texts under the base model.
    """

    host: ModelHost
    fold: Fold
    texts: tuple[str, ...]
    base: Logprobs

    @staticmethod
    def of(host: ModelHost, fold: Fold, texts: Sequence[str]) -> Examiner:
        """An examiner for one base model, whose perplexity is measured on `texts` here."""
        return Examiner(host, fold, tuple(texts), host.token_logprobs(texts))

    def examine(self, edits: Sequence[WeightEdit], asked: Sequence[EditQuestion]) -> tuple[list[bool], float]:
        """Correctness of each answer, and perplexity over the base model's, with exactly these edits.

        Raises:
            EditDiverged: when the edits cannot be folded.
        """
        with self.host.patched(self.fold.fold(edits)):
            correct = ask(self.host, asked)
            logprobs = self.host.token_logprobs(self.texts)
        return correct, paired_ratio(logprobs, self.base).ratio


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _kind_name(kind: PortabilityKind) -> str:
    return f"{Measure.PORTABILITY.value}_{kind.value}"
