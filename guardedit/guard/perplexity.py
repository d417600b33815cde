"""Perplexity of one model, and the ratio of two models on the same tokens, from log-probabilities.

All numbers are in nats per *predicted* token: a text of N tokens has N-1 predictions, and their count is the
divisor. Undefined values are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from guardedit.core.errors import GuardError

#: Log-probabilities in nats: outer sequence texts, inner sequence tokens 2..N of a text.
Logprobs = Sequence[Sequence[float]]


def perplexity(logprobs: Logprobs) -> float:
    """Exponential of the mean negative log-probability over all predicted tokens of all texts.

    NaN when no token was predicted or a log-probability is NaN.

    >>> from math import log
    >>> round(perplexity([[log(0.5), log(0.25)], [log(0.125)]]), 6)
    4.0
    >>> perplexity([[], []])
    nan
    """
    return _exp(-_mean([x for text in logprobs for x in text]))


def mean_sentence_perplexity(logprobs: Logprobs) -> float:
    """Arithmetic mean over texts of each text's own perplexity (ME-PPL, Yang et al. 2024, 2402.09656).

    The worst texts dominate it, so it is a noisy measure but gives an early alarm. Texts without a predicted
    token are skipped; NaN when none is left.
    """
    return _mean([_exp(-_mean(text)) for text in logprobs if text])


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRatio:
    """How much worse a candidate predicts the same tokens than a reference.

    Attributes:
        log_ratio_mean: nats per token, reference minus candidate log-probability; positive is worse.
        standard_error: of `log_ratio_mean`, with texts as the independent units; NaN below two texts.
        tokens: predicted tokens.
        texts: texts with at least one predicted token.
        worst_text_log_ratio: the largest mean of any single text, in nats per token.
        sentence_ratio: ratio of the two mean sentence perplexities.
    """

    log_ratio_mean: float
    standard_error: float
    tokens: int
    texts: int
    worst_text_log_ratio: float
    sentence_ratio: float

    @property
    def ratio(self) -> float:
        """Perplexity of the candidate over that of the reference."""
        return _exp(self.log_ratio_mean)

    @property
    def worst_text_ratio(self) -> float:
        """The largest ratio of a single text."""
        return _exp(self.worst_text_log_ratio)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper bound of `ratio`, each one-sided at `confidence`, by normal approximation."""
        width = NormalDist().inv_cdf(confidence) * self.standard_error
        return _exp(self.log_ratio_mean - width), _exp(self.log_ratio_mean + width)


def paired_ratio(candidate: Logprobs, reference: Logprobs) -> PairedRatio:
    """Compare two models on the same tokens.

    Pairing removes the difficulty of the text, which is hundreds of times larger than the effect of an edit.
    The log-probabilities within one text are correlated, so the standard error treats the text as the unit:
    with text sums s_i, counts n_i and the overall mean m, it is
    sqrt(G / (G - 1) * sum_i (s_i - n_i m)^2) / sum_i n_i over G texts, the linearised ratio estimator
    (Cochran, Sampling Techniques, 1977, chapter 6).

    Raises:
        GuardError: the two differ in the number of texts or of tokens in a text.
    """
    _refuse_mismatch(candidate, reference)
    differences = [
        [before - after for after, before in zip(text, other, strict=True)]
        for text, other in zip(candidate, reference, strict=True)
        if text
    ]
    mean = _mean([x for text in differences for x in text])
    per_text = [_mean(text) for text in differences]
    return PairedRatio(
        log_ratio_mean=mean,
        standard_error=_clustered_error(differences, mean),
        tokens=sum(map(len, differences)),
        texts=len(differences),
        worst_text_log_ratio=_worst(per_text),
        sentence_ratio=_divided(mean_sentence_perplexity(candidate), mean_sentence_perplexity(reference)),
    )


def _clustered_error(differences: Sequence[Sequence[float]], mean: float) -> float:
    texts, tokens = len(differences), sum(map(len, differences))
    if texts < 2:
        return math.nan
    residuals = [math.fsum(text) - len(text) * mean for text in differences]
    return math.sqrt(texts / (texts - 1) * math.fsum(r * r for r in residuals)) / tokens


def _refuse_mismatch(candidate: Logprobs, reference: Logprobs) -> None:
    if len(candidate) != len(reference):
        raise GuardError(
            f"{len(candidate)} texts cannot be paired with {len(reference)}: measure both on one probe set"
        )
    for index, (text, other) in enumerate(zip(candidate, reference, strict=True)):
        if len(text) != len(other):
            raise GuardError(
                f"text {index} has {len(text)} predicted tokens in one measurement and {len(other)} in the "
                "other: measure both with one tokenizer"
            )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _worst(values: Sequence[float]) -> float:
    # Whether `max` returns a NaN depends on its position; here one NaN makes the result NaN.
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def _divided(value: float, by: float) -> float:
    return value / by if by else math.nan


def _exp(nats: float) -> float:
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf
