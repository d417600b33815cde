"""The scope test of a memory: which of the candidate facts a question asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact
from guardedit.core.serving import Recall
from guardedit.memory.candidates import Candidate
from guardedit.memory.encoder import Encoder
from guardedit.memory.judge.texts import SLOT, fact_text
from guardedit.memory.questions.choosing import JudgedFact, recall_of
from guardedit.memory.questions.clauses import Clause
from guardedit.memory.scope import ScopeThresholds, judge_scope
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


@dataclass(frozen=True, slots=True)
class ScopeTest:
    """Decides which candidates a question asks for, by the judge's probabilities or the features' score."""

    thresholds: ScopeThresholds
    judge: Judge | None

    @staticmethod
    def of(encoder: Encoder, thresholds: ScopeThresholds | None, judge: Judge | None) -> ScopeTest:
        """The scope test for this encoder.

        Raises:
            MemoryIndexError: the thresholds were calibrated for another encoder or another judge.
        """
        chosen = ScopeThresholds.load() if thresholds is None else thresholds
        if chosen.encoder_sha256 != encoder.sha256:
            raise MemoryIndexError(
                f"scope thresholds are for encoder {chosen.encoder_sha256[:12]}, this one is "
                f"{encoder.sha256[:12]}: run `python -m guardedit.memory.fitting.calibrate --encoder NAME`"
            )
        if chosen.judge_sha256 != (digest := "" if judge is None else judge.sha256):
            raise MemoryIndexError(
                f"scope thresholds are for judge {chosen.judge_sha256[:12] or 'none'}, this one is "
                f"{digest[:12] or 'none'}: take the thresholds of the judge"
            )
        return ScopeTest(chosen, judge)

    def scores(self, rows: Sequence[Sequence[Candidate]]) -> list[list[float]]:
        """For each question's candidates their scores in [0, 1]. The judge reads all pairs in one batch."""
        if self.judge is None:
            return [[self.thresholds.score(one.features) for one in row] for row in rows]
        read = [{id(one) for one in _nearest(row)} for row in rows]
        asked = [
            [judge_pairs(one) if id(one) in some else [] for one in row]
            for row, some in zip(rows, read, strict=True)
        ]
        pairs = list(dict.fromkeys(pair for row in asked for some in row for pair in some))
        found = dict(zip(pairs, self.judge.probabilities(pairs).tolist(), strict=True)) if pairs else {}
        return [
            [_score(one, [found[pair] for pair in some]) for one, some in zip(row, pairs_of, strict=True)]
            for row, pairs_of in zip(rows, asked, strict=True)
        ]

    def scored(self, rows: Sequence[Sequence[Candidate]]) -> list[list[tuple[Fact, float]]]:
        """For each question its candidate facts with their scores, best first."""
        return [
            sorted(zip([one.entry.fact for one in row], some, strict=True), key=lambda pair: -pair[1])
            for row, some in zip(rows, self.scores(rows), strict=True)
        ]

    def recalls(self, clauses: Sequence[Clause], rows: Sequence[Sequence[Candidate]]) -> list[Recall]:
        """The facts that each clause asks for, of its candidates."""
        # Among equally good facts the order is by whole-question cosine.
        ordered = [sorted(row, key=lambda one: (-one.features.full, one.entry.fact.id)) for row in rows]
        return [
            self._recall(clause, row, some)
            for clause, row, some in zip(clauses, ordered, self.scores(ordered), strict=True)
        ]

    def _recall(self, clause: Clause, row: Sequence[Candidate], scores: Sequence[float]) -> Recall:
        judged = [
            JudgedFact(one.entry.fact, judge_scope(one.features, score, self.thresholds))
            for one, score in zip(row, scores, strict=True)
        ]
        return replace(
            recall_of(clause, judged),
            named=any(one.features.named for one in row),
            cosine=max((one.features.full for one in row), default=math.nan),
        )


def judge_pairs(candidate: Candidate) -> list[tuple[str, str]]:
    """What the judge reads of a candidate: each form of the question beside each statement of the fact.

    The subject is masked in both. The most probable pair counts. Empty where the question does not name the
    subject.
    """
    target = candidate.entry.fact.target
    facts = [fact_text(_slotted(wording), target) for wording in candidate.wordings]
    return [(_slotted(form), fact) for form in candidate.asked for fact in facts]


def _nearest(row: Sequence[Candidate]) -> list[Candidate]:
    named = [one for one in row if one.features.named]
    return sorted(named, key=lambda one: (-one.features.own, one.entry.fact.id))[:MOST_JUDGED]


def _score(candidate: Candidate, probabilities: Sequence[float]) -> float:
    if candidate.features.verbatim and not candidate.features.doubtful:
        return 1.0
    return max(probabilities, default=0.0)


def _slotted(masked: str) -> str:
    return masked.replace(MASK, SLOT)
