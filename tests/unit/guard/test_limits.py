"""A wrong limit is refused, since a NaN would let everything pass."""

from __future__ import annotations

import math

import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import DriftLimits, GuardLimits


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_ratio_to_base", math.nan),
        ("max_relative_size", -0.1),
        ("min_reliability", 1.5),
        ("confidence", 1.0),
        ("confidence", 0.2),
    ],
)
def test_a_limit_that_is_no_limit_is_refused(field, value):
    with pytest.raises(GuardError, match=field):
        GuardLimits(**{field: value})


def test_a_drift_limit_that_is_nan_is_refused():
    with pytest.raises(GuardError, match="cusum_slack_nats"):
        DriftLimits(cusum_slack_nats=math.nan)


def test_an_unknown_shadow_gate_is_named_with_the_known_ones():
    with pytest.raises(GuardError, match=r"'perplexity' cannot.*known: .*perplexity_ratio_to_base"):
        GuardLimits(shadow=frozenset({"perplexity"}))


def test_the_finite_gate_cannot_be_a_shadow_gate():
    with pytest.raises(GuardError, match="'finite' cannot be a shadow gate"):
        GuardLimits(shadow=frozenset({"finite"}))


def test_an_infinite_limit_switches_a_gate_off():
    assert GuardLimits(max_key_outlier=math.inf).max_key_outlier == math.inf
