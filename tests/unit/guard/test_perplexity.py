"""Perplexity and its paired ratio, compared with numpy and with a bootstrap."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from guardedit.core.errors import GuardError
from guardedit.guard.perplexity import mean_sentence_perplexity, paired_ratio, perplexity


def _texts(seed, *, shift=0.0, noise=0.0, count=40):
    """Log-probabilities of `count` texts, each with its own difficulty; `shift` makes all of them worse."""
    base, extra = random.Random(seed), random.Random(seed + 1)
    texts = []
    for _ in range(count):
        difficulty, own = base.uniform(1, 6), extra.gauss(0, noise)
        n = base.randint(1, 30)
        texts.append(
            [-abs(base.gauss(difficulty, 1)) - shift - own - extra.gauss(0, noise) for _ in range(n)]
        )
    return texts


def test_perplexity_divides_by_the_number_of_predicted_tokens():
    texts = _texts(3)
    flat = np.concatenate([np.array(text) for text in texts])
    assert perplexity(texts) == pytest.approx(float(np.exp(-flat.sum() / flat.size)), rel=1e-12)


def test_a_uniform_model_over_v_words_has_perplexity_v():
    assert perplexity([[math.log(1 / 4096)] * 7, [math.log(1 / 4096)]]) == pytest.approx(4096)


@pytest.mark.parametrize("texts", [[], [[], []], [[-1.0, math.nan]]])
def test_perplexity_is_nan_when_undefined(texts):
    assert math.isnan(perplexity(texts))


def test_perplexity_of_an_impossible_token_is_infinite():
    assert perplexity([[-1.0, -math.inf]]) == math.inf
    assert perplexity([[-1e6]]) == math.inf


def test_mean_sentence_perplexity_averages_after_the_exponential_and_skips_empty_texts():
    texts = [*_texts(4), []]
    expected = np.mean([np.exp(-np.mean(text)) for text in texts if text])
    assert mean_sentence_perplexity(texts) == pytest.approx(float(expected), rel=1e-12)
    assert math.isnan(mean_sentence_perplexity([[]]))


def test_the_paired_ratio_is_the_ratio_of_the_two_perplexities():
    reference, candidate = _texts(5), _texts(5, shift=0.03, noise=0.1)
    pair = paired_ratio(candidate, reference)
    assert pair.ratio == pytest.approx(perplexity(candidate) / perplexity(reference), rel=1e-12)
    assert pair.tokens == sum(map(len, reference))
    assert pair.texts == 40
    expected = mean_sentence_perplexity(candidate) / mean_sentence_perplexity(reference)
    assert pair.sentence_ratio == pytest.approx(expected, rel=1e-12)


def test_equal_models_have_ratio_one_and_no_error():
    pair = paired_ratio(_texts(6), _texts(6))
    assert (pair.ratio, pair.standard_error, pair.bounds(0.95)) == (1.0, 0.0, (1.0, 1.0))


def test_the_standard_error_agrees_with_a_bootstrap_over_texts():
    reference, candidate = _texts(7, count=120), _texts(7, shift=0.02, noise=0.2, count=120)
    pair = paired_ratio(candidate, reference)
    sums = np.array([sum(r) - sum(c) for c, r in zip(candidate, reference, strict=True)])
    counts = np.array([len(text) for text in reference])
    drawn = np.random.default_rng(0).integers(0, 120, size=(4000, 120))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    assert pair.standard_error == pytest.approx(float(means.std()), rel=0.08)


def test_for_texts_of_equal_length_the_error_is_that_of_a_mean_of_text_means():
    rng = np.random.default_rng(3)
    means, within = rng.normal(0.01, 0.1, size=5), rng.normal(0, 0.3, size=(5, 8))
    worse = means[:, None] + within
    pair = paired_ratio((-3.0 - worse).tolist(), [[-3.0] * 8] * 5)
    expected = worse.mean(axis=1).std(ddof=1) / math.sqrt(5)
    assert pair.standard_error == pytest.approx(float(expected), rel=1e-12)


def test_tokens_that_rise_together_make_the_error_larger_than_independent_ones_would():
    reference = [[-3.0] * 20 for _ in range(30)]
    rng = random.Random(8)
    together = [[x - shift for x in text] for text in reference for shift in [rng.gauss(0, 0.1)]]
    naive = np.std([3.0 + x for text in together for x in text]) / math.sqrt(600)
    assert paired_ratio(together, reference).standard_error > 4 * naive


def test_bounds_are_one_sided_normal_bounds():
    pair = paired_ratio(_texts(9, shift=0.01, noise=0.1), _texts(9))
    lower, upper = pair.bounds(0.95)
    assert math.log(upper / pair.ratio) == pytest.approx(1.6448536 * pair.standard_error)
    assert math.log(pair.ratio / lower) == pytest.approx(1.6448536 * pair.standard_error)


def test_a_single_text_has_no_standard_error():
    pair = paired_ratio([[-1.1, -2.0]], [[-1.0, -2.0]])
    assert math.isnan(pair.standard_error)
    assert all(map(math.isnan, pair.bounds(0.95)))


def test_the_worst_text_is_found_and_nan_is_not_lost():
    reference = [[-1.0, -1.0], [-2.0], []]
    assert paired_ratio([[-1.0, -1.2], [-2.5], []], reference).worst_text_log_ratio == pytest.approx(0.5)
    assert math.isnan(paired_ratio([[-1.0, -1.2], [math.nan], []], reference).worst_text_ratio)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [([[-1.0]], "1 texts cannot be paired with 2"), ([[-1.0], [-1.0]], "text 1 has 1 predicted tokens")],
)
def test_what_does_not_pair_is_refused(candidate, message):
    with pytest.raises(GuardError, match=message):
        paired_ratio(candidate, [[-1.0], [-1.0, -2.0]])
