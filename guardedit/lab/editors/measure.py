"""Scores of a set of edits: free generation of the whole object, and perplexity on ordinary text.

Knows cases, a model and a fold. Does not know how the edits were made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.lab.editors.cases import Carried, EditCase
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.weights.fold import Fold

T = TypeVar("T")


class Measure(StrEnum):
    """Shares of whole answers that are as they should be."""

    RELIABILITY = "reliability"  # the edit's own prompt
    GENERALIZATION = "generalization"  # wordings that the method was not given
    LOCALITY = "locality"  # subjects that are never edited
    SAME_SUBJECT = "same_subject"  # other facts of the edited subject
    PORTABILITY = "portability"  # see `cases.Carried`


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question after an edit.

    Attributes:
        measure: what the answer counts for.
        fact: id of the edited fact that the question is about, or stands beside.
        prompt, wanted: question and right answer.
        old: what the base model says, the likeliest wrong answer; empty where `wanted` is that.
        kind: of a portable question.
    """

    measure: Measure
    fact: str
    prompt: str
    wanted: str
    old: str = ""
    kind: Carried | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Right answers and questions, by measure and by kind of portability; adds up over sets of edits."""

    right: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return Counts(right=_sum(self.right, other.right), asked=_sum(self.asked, other.asked))

    def share(self, name: str) -> float:
        """Share of right answers; NaN where nothing was asked.

        >>> Counts(right={"locality": 1}, asked={"locality": 2}).share("locality")
        0.5
        """
        asked = self.asked.get(name, 0)
        return self.right.get(name, 0) / asked if asked else math.nan

    @property
    def shares(self) -> dict[str, float]:
        """Every measure, and `portability_<kind>` for every kind."""
        names = (*Measure, *(_kind(kind) for kind in Carried))
        return {str(name): self.share(name) for name in names}


def questions(
    cases: Sequence[EditCase], *, edited: Collection[FactKey], most: int | None = None
) -> list[Asked]:
    """What to ask after the edits of `cases`.

    Args:
        cases: edits that were made.
        edited: keys of all facts edited by then, which are no longer as they were.
        most: questions a measure, evenly spaced over the cases; None: all. Own prompts are all asked.
    """
    found: dict[Measure, dict[tuple[str, str], Asked]] = {measure: {} for measure in Measure}
    for case in cases:
        for one in _questions(case, edited):
            # What must stay is one question, however many edits it stands beside.
            beside = one.measure in (Measure.LOCALITY, Measure.SAME_SUBJECT)
            found[one.measure].setdefault(("" if beside else one.fact, one.prompt), one)
    return [
        one
        for measure, rows in found.items()
        for one in spaced(list(rows.values()), None if measure is Measure.RELIABILITY else most)
    ]


def _questions(case: EditCase, edited: Collection[FactKey]) -> Iterable[Asked]:
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
                yield Asked(measure=measure, fact=fact.id, prompt=known.prompt, wanted=known.answer)
    for portable in case.portable:
        yield Asked(
            measure=Measure.PORTABILITY,
            fact=fact.id,
            prompt=portable.prompt,
            wanted=portable.answer,
            old=old,
            kind=portable.kind,
        )


def _about(measure: Measure, fact: Fact, prompt: str, old: str) -> Asked:
    return Asked(measure=measure, fact=fact.id, prompt=prompt, wanted=fact.target, old=old)


def spaced(items: Sequence[T], most: int | None) -> list[T]:
    """At most so many, evenly spaced, the first among them.

    >>> spaced("abcdef", 3)
    ['a', 'c', 'e']
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


def ask(host: ModelHost, asked: Sequence[Asked]) -> list[bool]:
    """Whether each question is answered rightly by the model as it stands."""
    guesses: dict[str, list[str]] = {}
    for one in asked:
        guesses.setdefault(one.prompt, []).extend(text for text in (one.wanted, one.old) if text)
    said = complete_guessed(host, guesses)
    return [said[one.prompt] == one.wanted for one in asked]


def count(asked: Sequence[Asked], right: Sequence[bool]) -> Counts:
    """Add up; a portable question counts for its kind as well."""
    total: dict[str, int] = {}
    good: dict[str, int] = {}
    for one, hit in zip(asked, right, strict=True):
        for name in (one.measure.value, *(() if one.kind is None else (_kind(one.kind),))):
            total[name] = total.get(name, 0) + 1
            good[name] = good.get(name, 0) + hit
    return Counts(right=good, asked=total)


def refused(cases: Sequence[EditCase]) -> Counts:
    """Edits that a method declined: nothing was written, so what should have changed has not."""
    rows = [
        one
        for one in questions(cases, edited=())
        if one.measure not in (Measure.LOCALITY, Measure.SAME_SUBJECT)
    ]
    return count(rows, [False] * len(rows))


@dataclass(frozen=True, slots=True)
class Examiner:
    """A base model under examination.

    Attributes:
        host: unpatched.
        fold: of the edits.
        texts: for the perplexity.
        base: their log-probabilities under the base model.
    """

    host: ModelHost
    fold: Fold
    texts: tuple[str, ...]
    base: Logprobs

    @staticmethod
    def of(host: ModelHost, fold: Fold, texts: Sequence[str]) -> Examiner:
        """With the base model's numbers taken now."""
        return Examiner(host, fold, tuple(texts), host.token_logprobs(texts))

    def examine(self, edits: Sequence[WeightEdit], asked: Sequence[Asked]) -> tuple[list[bool], float]:
        """Right answers, and perplexity over the base model's, with these edits and no others.

        Raises:
            EditDiverged: when the edits cannot be folded.
        """
        with self.host.patched(self.fold.fold(edits)):
            right = ask(self.host, asked)
            now = self.host.token_logprobs(self.texts)
        return right, paired_ratio(now, self.base).ratio


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _kind(kind: Carried) -> str:
    return f"{Measure.PORTABILITY.value}_{kind.value}"
