"""Chooses the bands of the scope test on labelled rows, so that few out-of-scope questions get a fact.

The promise is distribution-free. If the k + 1 highest-scoring of n out-of-scope questions are cut at the
lowest of these, the share of all such questions above the cut has the distribution Beta(k + 1, n - k), whose
quantile is the bound of Clopper and Pearson (1934) for k of n. k depends on n alone, so choosing the cut on
the same rows costs nothing. The rows must be drawn independently from what will be asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from guardedit.core.errors import UsageError
from guardedit.lab.field.intervals import clopper_pearson_high
from guardedit.lab.field.scoring import Tell
from guardedit.lab.scope.report import rows_sha256
from guardedit.lab.scope.results import Share
from guardedit.lab.scope.rows import ScopeRow
from guardedit.lab.scope.stores import Found, ask
from guardedit.memory.encoder import Encoder
from guardedit.memory.judging import Judge
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.scope.bands import ScopeBands, scope_sha256
from guardedit.memory.store import RetrievalMemory

#: Facts of one store: all that do not disturb each other, as in a running system.
_ALL = 1_000_000


class ScoredRow(NamedTuple):
    """A row with the score from which on it gets a fact.

    `score` is infinite if it gets one with any thresholds, minus infinity if it gets none with any; `right`
    says whether the fact is the wanted one.
    """

    row: ScopeRow
    score: float
    right: bool


class Calibration(NamedTuple):
    """The chosen bands and what they do on the rows.

    Attributes:
        bands: what to write.
        given: out-of-scope rows that get a fact.
        answered: in-scope rows that get their fact.
        before: the two shares with the thresholds as they were.
    """

    bands: ScopeBands
    given: Share
    answered: Share
    before: tuple[Share, Share]


def smallest_limit(rows: int, confidence: float) -> float:
    """The smallest share that `rows` out-of-scope rows can promise, if none of them gets a fact.

    >>> round(smallest_limit(299, 0.95), 4), round(smallest_limit(120, 0.95), 3)
    (0.01, 0.025)
    """
    return clopper_pearson_high(0, rows, confidence)


def rows_needed(at_most: float, confidence: float) -> int:
    """How many out-of-scope rows a limit needs at least.

    >>> rows_needed(0.01, 0.95), rows_needed(0.05, 0.95)
    (299, 59)
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-at_most))


def allowed(rows: int, at_most: float, confidence: float) -> int:
    """How many of the out-of-scope rows may get a fact; -1 if they are too few for the limit.

    >>> allowed(298, 0.01, 0.95), allowed(299, 0.01, 0.95), allowed(1000, 0.01, 0.95)
    (-1, 0, 4)
    """
    count = -1
    while count + 1 < rows and clopper_pearson_high(count + 1, rows, confidence) <= at_most:
        count += 1
    return count


def calibrate_bands(
    encoder: Encoder,
    thresholds: ScopeThresholds,
    judge: Judge | None,
    rows: Sequence[ScopeRow],
    *,
    at_most: float,
    confidence: float,
    tell: Tell = lambda *_: None,
) -> Calibration:
    """The bands that keep the limit and give a fact to as many in-scope questions as that allows.

    Args:
        encoder: of the memory.
        thresholds: the scope test as it is. Its accept threshold is raised where it is below the other one.
        judge: of the memory; None: the features decide.
        rows: labelled questions, each asked beside the facts of all rows that do not disturb it.
        at_most: largest share of out-of-scope questions that may get a fact, a doubtful one included.
        confidence: that this holds for all such questions.
        tell: progress.

    Raises:
        UsageError: the rows are too few, or too many of them get a fact whatever the thresholds are.
    """
    outside = sum(row.key is None for row in rows)
    count = allowed(outside, at_most, confidence)
    if count < 0:
        raise UsageError(too_few(outside, at_most, confidence))
    scored = score_rows(encoder, thresholds, judge, rows, tell=tell)
    cut = _cut([one for one in scored if one.row.key is None], count)
    # Rows that get no fact with any thresholds say nothing about where the threshold should be.
    unsure = thresholds.reject if cut < 0 else math.ceil(math.nextafter(cut, 2) * 1e4) / 1e4
    bands = ScopeBands(
        accept=max(unsure, thresholds.accept),
        unsure=unsure,
        at_most=at_most,
        confidence=confidence,
        out_of_scope_rows=outside,
        in_scope_rows=len(rows) - outside,
        rows_sha256=rows_sha256(rows),
        scope_sha256=scope_sha256(thresholds),
    )
    return Calibration(bands, *_shares(scored, unsure), before=_shares(scored, thresholds.reject))


def score_rows(
    encoder: Encoder,
    thresholds: ScopeThresholds,
    judge: Judge | None,
    rows: Sequence[ScopeRow],
    *,
    tell: Tell,
) -> list[ScoredRow]:
    """The score of each row, with and without any thresholds."""

    def asked(threshold: float) -> list[Found]:
        memory = RetrievalMemory(encoder, replace(thresholds, accept=1.0, reject=threshold), judge)
        return list(ask(memory, rows, (), _ALL, tell=tell))

    return [
        ScoredRow(
            low.row,
            math.inf if high.given else low.recall.score if low.given else -math.inf,
            low.given and not low.wrong,
        )
        for low, high in zip(asked(0.0), asked(1.0), strict=True)
    ]


def too_few(outside: int, at_most: float, confidence: float) -> str:
    """Why the rows cannot promise the limit, and what can be done."""
    needed = rows_needed(at_most, confidence)
    smallest = f"{smallest_limit(outside, confidence):.2%}" if outside else "100%"
    return (
        f"with {outside} out-of-scope rows the smallest limit that can be promised at {confidence:.0%} is "
        f"{smallest}: give at least {needed} of them for {at_most:.2%}, or raise --at-most"
    )


def _cut(outside: Sequence[ScoredRow], count: int) -> float:
    """The highest score at which a question must get no fact."""
    scores = sorted((one.score for one in outside), reverse=True)
    cut = scores[count]
    if cut >= 1:
        texts = [one.row.question for one in outside if one.score >= 1][: count + 3]
        raise UsageError(
            f"more than {count} out-of-scope rows get a fact whatever the thresholds are: check the labels "
            "of " + ", ".join(repr(text[:80]) for text in texts)
        )
    return cut


def _shares(scored: Sequence[ScoredRow], unsure: float) -> tuple[Share, Share]:
    """Out-of-scope rows that get a fact, and in-scope rows that get theirs."""
    outside = [one for one in scored if one.row.key is None]
    inside = [one for one in scored if one.row.key is not None]
    return (
        Share(sum(one.score >= unsure for one in outside), len(outside)),
        Share(sum(one.score >= unsure and one.right for one in inside), len(inside)),
    )
