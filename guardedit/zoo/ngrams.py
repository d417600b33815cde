"""Counts unigram and trigram models over token ids, as baselines for the demo model's perplexity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Ngrams:
    """Counts of one token stream.

    The trigram is interpolated with bigram, unigram and uniform (Jelinek and Mercer 1980). The weights are
    fixed, which is good enough for a baseline.
    """

    one: Counter[int]
    two: Counter[tuple[int, int]]
    three: Counter[tuple[int, int, int]]
    pairs: Counter[tuple[int, int]]  # contexts of trigrams
    total: int
    vocabulary: int

    @staticmethod
    def count(tokens: Sequence[int], *, vocabulary: int) -> Ngrams:
        """Count the n-grams of a stream of ids below `vocabulary`."""
        two = Counter(pairwise(tokens))
        three = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
        return Ngrams(Counter(tokens), two, three, two, len(tokens), vocabulary)

    def unigram_nats(self, token: int) -> float:
        """-log p of a token, add-one smoothed."""
        return -math.log((self.one[token] + 1) / (self.total + self.vocabulary))

    def trigram_nats(self, first: int, second: int, token: int) -> float:
        """-log p of a token after two others, interpolated."""
        uniform = 1 / self.vocabulary
        one = self.one[token] / self.total
        two = self.two[second, token] / self.one[second] if self.one[second] else one
        seen = self.pairs[first, second]
        three = self.three[first, second, token] / seen if seen else two
        return -math.log(0.45 * three + 0.35 * two + 0.19 * one + 0.01 * uniform)


def perplexities(ngrams: Ngrams, texts: Sequence[Sequence[int]]) -> tuple[float, float]:
    """(unigram, trigram) perplexity: exp of mean nats over tokens 3..N of each text; NaN without any."""
    one: list[float] = []
    three: list[float] = []
    for text in texts:
        for first, second, token in zip(text, text[1:], text[2:], strict=False):
            one.append(ngrams.unigram_nats(token))
            three.append(ngrams.trigram_nats(first, second, token))
    if not one:
        return math.nan, math.nan
    return math.exp(math.fsum(one) / len(one)), math.exp(math.fsum(three) / len(three))
