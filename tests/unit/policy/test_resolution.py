"""A sample that cannot tell a good epoch from a bad one is refused, with the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.core.errors import PolicyError
from guardedit.policy.limits import SAMPLES, GuardSection
from guardedit.policy.load import parse_policy
from guardedit.policy.resolution import (
    allowed_losses,
    binomial_tail,
    least_sample,
    refusal,
    strictest_limit,
    tells_apart,
)

SMALLEST = "apiVersion: guardedit/v1\nmode: enforce\nrules: [{id: all, route: memory, why: all}]\n"
LIMITS = st.integers(1, 99).map(lambda n: n / 100)


def _guard(text):
    return parse_policy(f"{SMALLEST}guard: {{{text}}}\n", name="p").guard


def _passes(sample, limit, loss):
    """By full enumeration, with the share itself compared as the gate does."""
    losses = [k for k in range(sample + 1) if (sample - k) / sample >= limit]
    return sum(binomial_tail(k, sample, loss) - binomial_tail(k + 1, sample, loss) for k in losses)


@given(LIMITS)
def test_the_least_sample_is_the_first_with_both_powers(limit):
    least = least_sample(limit)
    assert tells_apart(least, limit)
    assert not any(tells_apart(sample, limit) for sample in range(1, least))
    assert _passes(least, limit, (1 - limit) / 2) >= 0.9 - 1e-9
    assert _passes(least, limit, min(1.0, 2 * (1 - limit))) <= 0.1 + 1e-9


@given(st.integers(1, 400), LIMITS)
def test_a_refusal_names_remedies_that_are_accepted(sample, limit):
    why = refusal(sample, limit)
    assert (why is None) == (sample >= least_sample(limit))
    if why is not None:
        assert refusal(least_sample(limit), limit) is None
        best = strictest_limit(sample)
        assert (best is not None and best < limit) == (" or a limit of " in why)
        assert best is None or refusal(sample, best) is None


@given(st.integers(1, 400), LIMITS)
def test_so_many_losses_are_allowed_as_the_gate_lets_pass(sample, limit):
    losses = allowed_losses(sample, limit)
    assert (sample - losses) / sample >= limit - 1e-9
    assert (sample - losses - 1) / sample < limit


def test_a_limit_near_one_is_found_at_once():
    assert least_sample(0.9999999) > 10_000_000


@pytest.mark.parametrize("gate", sorted(SAMPLES))
def test_a_policy_with_a_sample_that_is_too_small_is_refused(gate):
    values = f"{SAMPLES[gate]}: 48, {gate}_min: 0.98"
    if gate.startswith("other_subject"):  # two gates on one sample
        other = {"other_subject", "other_subject_to_base"} - {gate}
        values += f", {other.pop()}_min: 0.9"
    with pytest.raises(PolicyError) as error:
        _guard(values)
    assert (
        f"{gate}_min with {SAMPLES[gate]}: 48 questions cannot tell 0.98 from 0.96: "
        "use 166 questions or a limit of 0.93"
    ) in str(error.value)
    assert getattr(_guard(f"{values}, shadow: [{gate}]"), SAMPLES[gate]) == 48


@pytest.mark.parametrize(
    "values",
    [
        "earlier_sample: 1, earlier_min: 1.0",
        "earlier_sample: 1, earlier_min: 0.0",
        "earlier_sample: 0, earlier_min: 0.97",
        "earlier_sample: 48, earlier_min: 0.93",
    ],
)
def test_a_strict_an_absent_and_a_resolved_limit_are_accepted(values):
    assert _guard(values)


def test_the_usual_limits_are_resolved():
    assert GuardSection().other_subject_sample >= least_sample(GuardSection().other_subject_min)
