"""What a candidate of the sweep is worth: one pure function of what was measured.

Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: What single edits must reach for a candidate to be usable.
USABLE = (("efficacy", 0.9), ("other_subject", 0.97), ("same_subject", 0.92))
#: Merit that one percent of perplexity costs: a batch of 24 that adds 2 % has to answer one fact more.
PERCENT_PRICE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Edits alone, or all of them together in the model. NaN where nothing was asked or measured.

    Attributes:
        efficacy: share of the edits' own prompts that are answered with the target.
        unseen: the same of wordings that the method was not given.
        other_subject: share of answers about subjects never edited that stayed.
        same_subject: share of other facts of the edited subjects that stayed.
        perplexity_ratio: on ordinary text, over the base model's; mean over edits where each is alone.
        seconds_per_edit: of the method, without the questions.
        refused: edits that the method declined; they count as not answered.
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
    """Both ways of editing the same facts."""

    alone: Shares
    together: Shares


class Merit(NamedTuple):
    """What decides between candidates; compare with `better`."""

    usable: bool
    value: float  # NaN: none


def merit(score: Score) -> Merit:
    """Usable single edits first, then how all of them do together.

    The value is the harmonic mean of efficacy, unseen wordings, other subjects and the same subject with
    all edits in the model (the score S of Meng et al. 2022, section 3.4, with one more locality), less
    `PERCENT_PRICE` for each percent that perplexity rises. Edits are served together: a layer that takes
    single edits best may hold them together worst.

    Facts without other wordings, or subjects without other facts, leave that measure out, of every
    candidate alike. Where no edit took hold, or other subjects or perplexity are not numbers, there is no
    merit. Seconds have no part in it: another machine would choose otherwise.

    >>> good = Shares(efficacy=1.0, unseen=1.0, other_subject=1.0, same_subject=1.0, perplexity_ratio=1.01)
    >>> merit(Score(alone=good, together=good))
    Merit(usable=True, value=0.98)
    >>> merit(Score(alone=good, together=Shares()))
    Merit(usable=False, value=nan)
    """
    now = score.together
    needed = (now.efficacy, now.other_subject, now.perplexity_ratio)
    if not all(map(math.isfinite, needed)) or not now.efficacy:
        return Merit(usable=False, value=math.nan)
    asked = (now.unseen, now.same_subject)
    shares = [now.efficacy, now.other_subject, *(share for share in asked if not math.isnan(share))]
    percent = 100 * max(now.perplexity_ratio - 1, 0.0)
    value = _harmonic(shares) - PERCENT_PRICE * percent
    return Merit(usable=_usable(score.alone), value=round(value, 12))


def better(one: Merit, other: Merit, *, gain: float = 0.0) -> bool:
    """Whether `one` is usable where `other` is not, or as usable and worth more than `gain` more.

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
        unasked = name == "same_subject" and math.isnan(share)
        if not (share >= limit or unasked):
            return False
    return True


def _harmonic(shares: Sequence[float]) -> float:
    return len(shares) / math.fsum(1 / share for share in shares) if all(shares) else 0.0
