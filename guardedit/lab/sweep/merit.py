"""Computes the merit of a candidate of the sweep, as a pure function of its measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: Minimum shares of single edits for a candidate to be usable.
USABLE = (("efficacy", 0.9), ("other_subject", 0.97), ("same_subject", 0.92))
#: Merit lost per percent of perplexity: to offset 2 %, a batch of 24 edits has to answer one more fact.
PERCENT_PRICE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Results of edits, either each alone or all together in the model. NaN where nothing was measured.

    Attributes:
        efficacy: share of the edits' own prompts that are answered with the target.
        unseen: the same for wordings that the method was not given.
        other_subject: share of unchanged answers about subjects that are never edited.
        same_subject: share of unchanged answers about other facts of the edited subjects.
        perplexity_ratio: perplexity on ordinary text over the base model's; mean over edits if each is alone.
        seconds_per_edit: seconds of the method, without the questions.
        refused: edits that the method declined. Their answers count as wrong.
    """

    efficacy: float = math.nan
    unseen: float = math.nan
    other_subject: float = math.nan
    same_subject: float = math.nan
    perplexity_ratio: float = math.nan
    seconds_per_edit: float = math.nan
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The results for the same facts, edited each alone and all together."""

    alone: Shares
    together: Shares


class Merit(NamedTuple):
    """The rank of a candidate; compare with `better`."""

    usable: bool
    value: float  # NaN: no merit


def merit(score: Score) -> Merit:
    """Usable single edits come first, then the result of all edits together.

    The value is the harmonic mean of efficacy, unseen wordings, other subjects and the same subject, with all
    edits in the model (the score S of Meng et al. 2022, section 3.4, with a second locality), minus
    `PERCENT_PRICE` for each percent by which perplexity rises. Edits are served together, and the best layer
    for single edits may be the worst for many.

    A measure without questions is left out; this is the same for all candidates. There is no merit if no edit
    succeeded, or if the value for other subjects or perplexity is not finite. Speed does not count, because
    the result would depend on the machine.

    >>> good = Shares(efficacy=1.0, unseen=1.0, other_subject=1.0, same_subject=1.0, perplexity_ratio=1.01)
    >>> merit(Score(alone=good, together=good))
    Merit(usable=True, value=0.98)
    >>> merit(Score(alone=good, together=Shares()))
    Merit(usable=False, value=nan)
    """
    together = score.together
    required = (together.efficacy, together.other_subject, together.perplexity_ratio)
    if not all(map(math.isfinite, required)) or not together.efficacy:
        return Merit(usable=False, value=math.nan)
    optional = (together.unseen, together.same_subject)
    shares = [together.efficacy, together.other_subject, *(x for x in optional if not math.isnan(x))]
    percent = 100 * max(together.perplexity_ratio - 1, 0.0)
    value = _harmonic(shares) - PERCENT_PRICE * percent
    return Merit(usable=_usable(score.alone), value=round(value, 12))


def better(one: Merit, other: Merit, *, gain: float = 0.0) -> bool:
    """Whether only `one` is usable, or usability is equal and the value of `one` is larger by over `gain`.

    >>> better(Merit(True, 0.5), Merit(False, 0.9)), better(Merit(False, 0.1), Merit(False, math.nan))
    (True, True)
    >>> better(Merit(True, 0.5), Merit(True, 0.5)), better(Merit(True, 0.505), Merit(True, 0.5), gain=0.01)
    (False, False)
    """
    if one.usable != other.usable or math.isnan(one.value):
        return one.usable and not other.usable
    return math.isnan(other.value) or one.value > other.value + gain


def _usable(alone: Shares) -> bool:
    for name, limit in USABLE:
        share = getattr(alone, name)
        not_asked = name == "same_subject" and math.isnan(share)
        if not (share >= limit or not_asked):
            return False
    return True


def _harmonic(shares: Sequence[float]) -> float:
    return len(shares) / math.fsum(1 / share for share in shares) if all(shares) else 0.0
