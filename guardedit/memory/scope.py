"""Does this question fall under that fact? A pure function over a few numbers, with calibrated weights.

Knows no encoder and no index. The reject band follows SERAC's scope classifier (arXiv 2206.06520) and
RECIPE's sentinel (EMNLP 2024): a question is compared with what it should be rather than with a fixed
cosine, because fixed cosines transfer neither between relations nor between encoders.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError

#: Thresholds for all-MiniLM-L6-v2, made by `python -m guardedit.memory.calibrate`.
DEFAULTS = Path(__file__).with_name("scope_defaults.json")

#: More live relations than this change nothing; calibration sees about as many.
MANY_RIVALS = 64

#: What the nearest other relation usually has where there are many. With few or none live it stands for
#: those that are missing, or every question about the subject would seem to be about its only fact.
USUAL_RIVAL = 0.5

#: Cosine from which two masked texts have the same words; below 1 for rounding in float32.
SAME_WORDS = 0.9995

_LATIN, _LETTER = regex.compile(r"\p{Latin}"), regex.compile(r"\p{L}")

ACCEPT, UNSURE, OUT = "accept", "unsure", "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What is known of one question against one fact. Cosines in [-1, 1], -1 where there is nothing.

    Attributes:
        full: best key of the fact against the whole question.
        own: the fact's wordings against the question, the subject masked in both.
        relation: the same for all live wordings of the fact's relation.
        rival: the same for the nearest wording of any other relation.
        rivals: how many other relations are live; few rivals prove little.
        overlap: Jaccard overlap of words with the nearest of the fact's own wordings, subject left out.
        named: the subject occurs in the question as whole words.
        extended: it occurs only as part of what looks like a longer name.
    """

    full: float
    own: float = -1.0
    relation: float = -1.0
    rival: float = -1.0
    rivals: int = 0
    overlap: float = 0.0
    named: bool = False
    extended: bool = False

    @property
    def verbatim(self) -> bool:
        """The question is, but for the subject, a live wording of the relation, word for word."""
        return self.relation >= SAME_WORDS

    def vector(self) -> NDArray[np.float64]:
        """(8,) float64: what the weights of `ScopeThresholds` multiply."""
        lead = self.relation - max(self.rival, USUAL_RIVAL)
        crowd = math.log1p(min(self.rivals, MANY_RIVALS))
        plain = [self.own, self.relation, lead, self.overlap, float(self.verbatim), crowd]
        # The more relations are live, the more a lead over all of them is worth.
        return np.array([*plain, crowd * self.own, crowd * lead])


#: Length of `Features.vector`.
N_FEATURES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeThresholds:
    """A fitted logistic score, its two cuts, and where it comes from.

    `alias_cosine` is the whole-question cosine from which a question that does not name the subject is
    unsure instead of out. Two cuts in the wrong order raise MemoryIndexError.
    """

    weights: tuple[float, ...]
    bias: float
    accept: float
    reject: float
    alias_cosine: float
    encoder_sha256: str
    examples_sha256: str

    def __post_init__(self) -> None:
        if len(self.weights) != N_FEATURES or not 0 <= self.reject <= self.accept <= 1:
            raise MemoryIndexError(
                f"scope thresholds need {N_FEATURES} weights and 0 <= reject <= accept <= 1, "
                f"got {len(self.weights)} weights, reject {self.reject}, accept {self.accept}"
            )

    def score(self, features: Features) -> float:
        """Probability-like number in [0, 1]; 0 where the subject is not named."""
        if not features.named:
            return 0.0
        return _sigmoid(float(features.vector() @ np.asarray(self.weights)) + self.bias)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path = DEFAULTS) -> ScopeThresholds:
        """Read what `save` wrote; by default what the package ships.

        Raises:
            MemoryIndexError: unreadable, or not thresholds.
        """
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            return ScopeThresholds(**{**body, "weights": tuple(body["weights"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemoryIndexError(
                f"scope thresholds {path} cannot be read ({error}): make them with "
                "`python -m guardedit.memory.calibrate --examples FILE --out FILE`"
            ) from error


def is_comparable(question: str) -> bool:
    """Whether the whole-question cosine means something: it was calibrated on Latin script only.

    The encoder splits other scripts into single letters, and finds any two sentences of one alike.

    >>> is_comparable("Who leads Łódź?"), is_comparable("रामायण का जन्म स्थान है")
    (True, False)
    """
    return 2 * len(_LATIN.findall(question)) >= len(_LETTER.findall(question))


class ScopeVerdict(NamedTuple):
    """accept, unsure or out; `winner` is an index, None when out; `margin` is NaN without a second."""

    scope: str
    winner: int | None
    score: float
    margin: float
    reason: str


def judge_scope(candidates: Sequence[Features], thresholds: ScopeThresholds) -> ScopeVerdict:
    """Choose the best candidate fact and say whether the question falls under it."""
    if not candidates:
        return ScopeVerdict(OUT, None, 0.0, math.nan, "no fact is near")
    scores = [thresholds.score(features) for features in candidates]
    winner = max(range(len(scores)), key=lambda i: (scores[i], candidates[i].full))
    best = candidates[winner]
    others = [score for i, score in enumerate(scores) if i != winner]
    margin = scores[winner] - max(others) if others else math.nan
    scope, reason = _scope_of(best, scores[winner], thresholds)
    return ScopeVerdict(scope, None if scope == OUT else winner, scores[winner], margin, reason)


def _scope_of(best: Features, score: float, thresholds: ScopeThresholds) -> tuple[str, str]:
    if not best.named:
        if best.full >= thresholds.alias_cosine:
            return UNSURE, f"subject not named, but cosine {best.full:.3f} >= {thresholds.alias_cosine:.3f}"
        return OUT, "no subject of a live fact is named"
    if score < thresholds.reject:
        return OUT, f"score {score:.3f} < {thresholds.reject:.3f}: another relation of this subject"
    if best.extended and not best.verbatim:
        return UNSURE, "the subject is part of a longer name"
    if score < thresholds.accept:
        return UNSURE, f"score {score:.3f} between {thresholds.reject:.3f} and {thresholds.accept:.3f}"
    return ACCEPT, f"score {score:.3f} >= {thresholds.accept:.3f}"


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
