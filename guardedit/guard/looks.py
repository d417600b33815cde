"""In which order a trial reads its texts, and when a part of them is enough.

A trial that reads all texts spends most of its time there, although most candidates are far below the limits.
So it looks twice: at every fourth text, and, unless these decide, at all of them. The first look decides only
what is clear: a ratio of perplexities passes when its upper confidence bound is at or below the limit, and
rejects when its lower bound is above it. Both looks share the permitted error (Bonferroni): a decision on a
part of the texts differs from the one on all texts in at most (1 - confidence) of the trials.

The largest ratio of single texts has no such bound, and the largest of a part is smaller than that of all. So
it passes early only when its logarithm is at most half of the limit's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from guardedit.guard.limits import GuardLimits
from guardedit.guard.perplexity import PairedRatio

#: The first look reads every text with this distance, so all strata of a probe set are in it.
EVERY = 4
#: How many looks share the permitted error.
LOOKS = 2


def first_texts(texts: Sequence[str], limits: GuardLimits) -> tuple[str, ...]:
    """The texts of the first look; all of them where a part would be too few for a decision.

    >>> limits = GuardLimits(min_texts=2)
    >>> first_texts("abcdefgh", limits), first_texts("abc", limits)
    (('a', 'e'), ('a', 'b', 'c'))
    """
    part = tuple(texts[::EVERY])
    return part if len(part) >= limits.min_texts else tuple(texts)


def clear_bounds(ratio: PairedRatio, limits: GuardLimits) -> tuple[float, float]:
    """The bounds of a ratio at the confidence of the first look."""
    return ratio.bounds(1.0 - (1.0 - limits.confidence) / LOOKS)


def clear_worst(limit: float) -> float:
    """The largest ratio of a single text that passes at the first look.

    >>> clear_worst(2.25)
    1.5
    """
    return math.sqrt(limit)
