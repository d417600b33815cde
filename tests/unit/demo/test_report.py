from __future__ import annotations

import math

import pytest

from guardedit.demo.report import THRESHOLDS, reached, threshold_results

GOOD = {
    "exact_match": 0.99,
    "paraphrase": 0.95,
    "locality_other_subject": 0.99,
    "locality_same_subject": 0.97,
    "perplexity_ratio": 1.02,
    "disabling_injected": 12,
    "disabling_served": 0,
    "disabling_promoted": 0,
    "false_rejections": 0.0,
    "share_in_weights": 0.5,
    "lost": 0,
    "applied_twice": 0,
    "hashes_equal": True,
    "ledger_problems": [],
    "unexpected_fates": 0.0,
}
BAD = {
    "exact_match": 0.96,
    "paraphrase": 0.89,
    "locality_other_subject": 0.97,
    "locality_same_subject": 0.94,
    "perplexity_ratio": 1.04,
    "disabling_injected": 9,
    "disabling_served": 1,
    "disabling_promoted": 1,
    "false_rejections": 0.04,
    "share_in_weights": 0.3,
    "lost": 1,
    "applied_twice": 1,
    "hashes_equal": False,
    "ledger_problems": ["a blob is gone"],
    "unexpected_fates": 0.5,
}


def test_every_threshold_is_tested_here():
    assert set(GOOD) == set(BAD) == {threshold.name for threshold in THRESHOLDS}


def test_a_good_report_reaches_everything():
    assert reached(GOOD)


@pytest.mark.parametrize("name", BAD)
def test_one_bad_number_is_enough(name):
    found = threshold_results({**GOOD, name: BAD[name]})
    assert [row.threshold.name for row in found if not row.met] == [name]
    assert not reached({**GOOD, name: BAD[name]})


@pytest.mark.parametrize("value", [math.nan, None, "none"])
def test_what_was_not_measured_is_missed(value):
    assert not reached({**GOOD, "exact_match": value})
    assert not reached({name: v for name, v in GOOD.items() if name != "lost"})
