"""The scope test: is this question about that fact? A logistic score of a few features, with two thresholds.

The reject threshold follows the scope classifier of SERAC (arXiv 2206.06520) and the knowledge sentinel of
Chen et al. (EMNLP 2024): a question is compared with the wordings that it should resemble, not with a fixed
cosine, because a fixed cosine transfers neither between relations nor between encoders.
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
from guardedit.memory.names import Way

#: Thresholds for all-MiniLM-L6-v2, written by `python -m guardedit.memory.calibrate`.
DEFAULTS = Path(__file__).with_name("scope_defaults.json")

#: Cap on the number of other relations, since calibration sees about as many.
MANY_RIVALS = 64

#: Cosine that the nearest other relation usually has when many are live. `rival` counts as at least this.
#: Otherwise, with few live relations, every question about a subject would seem to be about its only fact.
USUAL_RIVAL = 0.5

#: Two masked texts with at least this cosine have the same words. It is below 1 because float32 rounds.
SAME_WORDS = 0.9995

_LATIN, _LETTER = regex.compile(r"\p{Latin}"), regex.compile(r"\p{L}")

ACCEPT, UNSURE, OUT = "accept", "unsure", "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features of one question and one fact. Cosines are in [-1, 1], and -1 if there is nothing to compare.

    Attributes:
        full: cosine of the whole question to the best key of the fact.
        own: best cosine of the question to the fact's wordings, with the subject masked in both.
        relation: the same for all live wordings of the fact's relation.
        rival: the same for the wordings of all other relations.
        rivals: number of other live relations; if they are few, `rival` means little.
        overlap: largest Jaccard word overlap with the fact's own wordings, without the subject.
        named: whether the subject occurs in the question as whole words.
        doubtful: whether every mention of the subject may be one of something else: a longer name, a word.
        way: how the question names the subject.
    """

    full: float
    own: float = -1.0
    relation: float = -1.0
    rival: float = -1.0
    rivals: int = 0
    overlap: float = 0.0
    named: bool = False
    doubtful: bool = False
    way: Way = Way.EXACT

    @property
    def verbatim(self) -> bool:
        """Whether the question, apart from the subject, is word for word a live wording of the relation."""
        return self.relation >= SAME_WORDS

    def vector(self) -> NDArray[np.float64]:
        """(N_FEATURES,) float64: the inputs of the logistic score."""
        lead = self.relation - max(self.rival, USUAL_RIVAL)
        crowd = math.log1p(min(self.rivals, MANY_RIVALS))
        plain = [self.own, self.relation, lead, self.overlap, float(self.verbatim), crowd]
        # A lead over all other relations means more when more relations are live.
        return np.array([*plain, crowd * self.own, crowd * lead])


#: Length of `Features.vector`.
N_FEATURES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeThresholds:
    """A fitted logistic score with its two thresholds, and the digests of what it was fitted on.

    A question that does not name the subject is `unsure` instead of `out` if its whole-question cosine is at
    least `alias_cosine`. Thresholds in the wrong order raise MemoryIndexError.
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
        """Probability-like number in [0, 1]; 0 if the subject is not named."""
        if not features.named:
            return 0.0
        return _sigmoid(float(features.vector() @ np.asarray(self.weights)) + self.bias)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path = DEFAULTS) -> ScopeThresholds:
        """Read a file written by `save`; by default the one in the package.

        Raises:
            MemoryIndexError: the file cannot be read or holds no thresholds.
        """
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            return ScopeThresholds(**{**body, "weights": tuple(body["weights"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemoryIndexError(
                f"scope thresholds {path} cannot be read ({error}): write them with "
                "`python -m guardedit.memory.calibrate --examples FILE --out FILE`"
            ) from error


def is_comparable(question: str) -> bool:
    """Whether the whole-question cosine is meaningful. It was calibrated on Latin script only.

    The encoder splits other scripts into single letters, so any two sentences in such a script look similar.

    >>> is_comparable("Who leads Łódź?"), is_comparable("रामायण का जन्म स्थान है")
    (True, False)
    """
    return 2 * len(_LATIN.findall(question)) >= len(_LETTER.findall(question))


class ScopeVerdict(NamedTuple):
    """Whether the best candidate is in scope.

    Attributes:
        scope: `accept`, `unsure` or `out`.
        winner: index of the best candidate; None if `out`.
        score: its score.
        margin: its score minus the second best score; NaN without a second candidate.
        reason: one sentence.
    """

    scope: str
    winner: int | None
    score: float
    margin: float
    reason: str


def judge_scope(candidates: Sequence[Features], thresholds: ScopeThresholds) -> ScopeVerdict:
    """Choose the best candidate fact and decide whether the question is about it."""
    if not candidates:
        return ScopeVerdict(OUT, None, 0.0, math.nan, "no candidate fact")
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
    if doubt := _doubt(best):
        return UNSURE, doubt
    if score < thresholds.accept:
        return UNSURE, f"score {score:.3f} between {thresholds.reject:.3f} and {thresholds.accept:.3f}"
    return ACCEPT, f"score {score:.3f} >= {thresholds.accept:.3f}"


def _doubt(best: Features) -> str:
    """Why the question may be about another subject; empty where nothing says so."""
    if best.way is Way.SHORT:
        return "the question has a short form of the subject's name"
    if best.way is Way.MISSPELT:
        return "the question has a name that is spelt almost like the subject's"
    if best.doubtful and not best.verbatim:
        return "the subject may be part of a longer name, or a common word"
    return ""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
