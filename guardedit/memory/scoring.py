"""Scores of candidate facts: the judge's probabilities where there is a judge, else those of the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.candidates import Candidate
from guardedit.memory.judge.texts import SLOT, fact_text
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.subject import MASK

#: Most facts of one question that the judge reads: those whose wordings are nearest to it.
MOST_JUDGED = 8


class Judge(Protocol):
    """Says how probable it is that a fact answers a question."""

    @property
    def sha256(self) -> str:
        """Digest of what its answers depend on."""

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(n,) in [0, 1] for n pairs (question, fact), with `SLOT` for the subject in both."""


def scores_of(
    rows: Sequence[Sequence[Candidate]], thresholds: ScopeThresholds, judge: Judge | None
) -> list[list[float]]:
    """For each question's candidates their scores in [0, 1]. The judge reads all pairs in one batch."""
    if judge is None:
        return [[thresholds.score(one.features) for one in row] for row in rows]
    read = [{id(one) for one in _nearest(row)} for row in rows]
    asked = [
        [judge_pairs(one) if id(one) in some else [] for one in row]
        for row, some in zip(rows, read, strict=True)
    ]
    pairs = list(dict.fromkeys(pair for row in asked for some in row for pair in some))
    found = dict(zip(pairs, judge.probabilities(pairs).tolist(), strict=True)) if pairs else {}
    return [
        [_score(one, [found[pair] for pair in some]) for one, some in zip(row, pairs_of, strict=True)]
        for row, pairs_of in zip(rows, asked, strict=True)
    ]


def judge_pairs(candidate: Candidate) -> list[tuple[str, str]]:
    """What the judge reads of a candidate: each form of the question beside the fact, the subject masked.

    The fact is stated by the wording that is nearest to the question. Empty where the question does not name
    the subject.
    """
    fact = fact_text(_slotted(candidate.wording), candidate.entry.fact.target)
    return [(_slotted(form), fact) for form in candidate.asked]


def _nearest(row: Sequence[Candidate]) -> list[Candidate]:
    named = [one for one in row if one.features.named]
    return sorted(named, key=lambda one: (-one.features.own, one.entry.fact.id))[:MOST_JUDGED]


def _score(candidate: Candidate, probabilities: Sequence[float]) -> float:
    if candidate.features.verbatim and not candidate.features.doubtful:
        return 1.0
    return max(probabilities, default=0.0)


def _slotted(masked: str) -> str:
    return masked.replace(MASK, SLOT)
