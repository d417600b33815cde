"""What a candidate is worth."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from guardedit.lab.sweep.merit import PERCENT_PRICE, Merit, Score, Shares, better, merit

GOOD = Shares(efficacy=1.0, unseen=0.9, other_subject=0.99, same_subject=0.95, perplexity_ratio=1.004)


def worth(*, alone: Shares = GOOD, **together: float) -> Merit:
    return merit(Score(alone=alone, together=replace(GOOD, **together)))


@pytest.mark.parametrize("name", ["efficacy", "unseen", "other_subject", "same_subject"])
def test_every_share_counts(name):
    assert worth(**{name: 0.5}).value < worth(**{name: 0.8}).value < worth(**{name: 1.0}).value


@pytest.mark.parametrize("name", ["unseen", "other_subject", "same_subject"])
def test_one_share_that_is_nothing_takes_all(name):
    assert worth(**{name: 0.0}).value == pytest.approx(-PERCENT_PRICE * 0.4)


def test_where_no_edit_took_hold_there_is_no_merit():
    assert math.isnan(worth(efficacy=0.0).value)


def test_the_value_is_the_harmonic_mean_less_the_price_of_perplexity():
    shares = (1.0, 0.9, 0.99, 0.95)
    mean = len(shares) / sum(1 / share for share in shares)
    assert worth().value == pytest.approx(mean - 0.4 * PERCENT_PRICE)
    assert worth(perplexity_ratio=0.9).value == pytest.approx(mean)  # a better model is not paid for


@pytest.mark.parametrize("name", ["efficacy", "other_subject", "perplexity_ratio"])
def test_what_is_not_a_number_has_no_merit(name):
    found = worth(**{name: math.nan})
    assert (found.usable, math.isnan(found.value)) == (False, True)
    assert math.isnan(worth(perplexity_ratio=math.inf).value)


def test_questions_that_no_fact_has_are_left_out():
    fewer = worth(alone=replace(GOOD, same_subject=math.nan), unseen=math.nan, same_subject=math.nan)
    assert fewer == Merit(True, pytest.approx(2 / (1 / 1.0 + 1 / 0.99) - 0.4 * PERCENT_PRICE))


@pytest.mark.parametrize(
    ("name", "value"),
    [("efficacy", 0.89), ("other_subject", 0.96), ("same_subject", 0.91), ("efficacy", math.nan)],
)
def test_single_edits_that_do_not_hold_make_a_candidate_unusable(name, value):
    assert worth().usable
    assert not worth(alone=replace(GOOD, **{name: value})).usable


def test_usable_goes_before_value_and_nothing_is_better_than_itself():
    poor, rich, none = Merit(True, 0.2), Merit(False, 0.9), Merit(False, math.nan)
    assert better(poor, rich)
    assert not better(rich, poor)
    assert better(rich, none)
    assert not any(better(one, one) for one in (poor, rich, none))
    assert not better(none, rich)
    assert better(Merit(True, 0.22), poor, gain=0.01)
    assert not better(Merit(True, 0.205), poor, gain=0.01)
