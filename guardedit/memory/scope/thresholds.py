"""The scope test: is this fact asked for? A score with two thresholds.

The score is the judge's probability, or, without a judge, a logistic function of the features. The reject
threshold follows the scope classifier of SERAC (arXiv 2206.06520) and the knowledge sentinel of Chen et al.
(EMNLP 2024): a question is compared with the wordings that it should resemble, not with a fixed cosine,
because a fixed cosine transfers neither between relations nor between encoders.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.names import Way
from guardedit.memory.scope.features import N_FEATURES, Features

#: Thresholds for all-MiniLM-L6-v2, written by `python -m guardedit.memory.fitting.calibrate`.
DEFAULTS = Path(__file__).with_name("defaults.json")

ACCEPT, UNSURE, OUT = "accept", "unsure", "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeThresholds:
    """A fitted logistic score with its two thresholds, and the digests of what it was fitted on.

    A question that does not name the subject is `unsure` instead of `out` if its whole-question cosine is at
    least `alias_cosine`. Thresholds in the wrong order raise MemoryIndexError. With `judge_sha256` they are
    for the probabilities of that judge instead of for the logistic score.
    """

    weights: tuple[float, ...]
    bias: float
    accept: float
    reject: float
    alias_cosine: float
    encoder_sha256: str
    examples_sha256: str
    judge_sha256: str = ""

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
                "`python -m guardedit.memory.fitting.calibrate --examples FILE --out FILE`"
            ) from error


class ScopeVerdict(NamedTuple):
    """Whether a fact is in scope of a question.

    Attributes:
        scope: `accept`, `unsure` or `out`.
        score: in [0, 1].
        reason: one sentence.
    """

    scope: str
    score: float
    reason: str


def judge_scope(features: Features, score: float, thresholds: ScopeThresholds) -> ScopeVerdict:
    """The verdict about a fact with this score."""
    scope, reason = _scope_of(features, score, thresholds)
    return ScopeVerdict(scope, score, reason)


def _scope_of(best: Features, score: float, thresholds: ScopeThresholds) -> tuple[str, str]:
    accept, reject, alias = thresholds.accept, thresholds.reject, thresholds.alias_cosine
    if not best.named:
        if best.full >= alias:
            return UNSURE, f"no subject is named, but the wording is close: {best.full:.2f} of {alias:.2f}"
        return OUT, "no subject of a live fact is named"
    if score < reject:
        return OUT, f"another question about the subject: score {score:.2f}, unsure from {reject:.2f} on"
    if doubt := _doubt(best, sure=score >= accept):
        # Two doubts, about the subject or the words and about what is asked, are too many.
        scope = OUT if (best.doubtful or best.other_words) and score < accept else UNSURE
        return scope, f"{doubt}: score {score:.2f}, sure from {accept:.2f} on"
    if score < accept:
        return UNSURE, f"the fact may be asked for: score {score:.2f}, sure from {accept:.2f} on"
    return ACCEPT, f"the fact is asked for: score {score:.2f}, sure from {accept:.2f} on"


def _doubt(best: Features, *, sure: bool) -> str:
    """Why the question may be about something else; empty where nothing says so."""
    if best.other_words and not sure:
        return "the words are those of another relation"
    if best.way is Way.SHORT:
        return "the question has a short form of the subject's name"
    if best.way is Way.MISSPELT:
        return "the question has a name that is spelt almost like the subject's"
    if best.doubtful and not best.verbatim:
        return "the subject may be part of a longer name, or a common word"
    return ""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
