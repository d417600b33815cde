"""Summarises the cases: the mean of each metric with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guardedit.guard.perplexity import PairedRatio
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.intervals import CONFIDENCE, UNDEFINED, bootstrap, harmonic_mean, mean, wilson
from guardedit.lab.field.measures import METRICS, ONE_QUESTION, SCORE, FieldOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One metric over all cases.

    Attributes:
        value: mean over the cases that have a question for it; NaN without any.
        low: lower bound of the 95 % interval.
        high: its upper bound.
        cases: number of cases that have a question for it; of texts where the interval is over `texts`.
        interval: how the bounds were computed, `wilson`, `bootstrap` or `texts`; "" without cases.
    """

    value: float
    low: float
    high: float
    cases: int
    interval: str


def summarise(
    cases: Sequence[FieldCase], after: Mapping[str, FieldOutcome], base: FieldOutcome, *, seed: int
) -> dict[str, MetricValue]:
    """Every metric by name, and `S`.

    Args:
        cases: the cases.
        after: case name -> outcome to judge.
        base: outcome of the base model.
        seed: seed of the bootstrap.
    """
    by_case = {
        name: [metric(case, after[case.name], base) for case in cases] for name, metric in METRICS.items()
    }
    one_edit = all(len(case.edits) == 1 for case in cases)
    found = {
        name: _estimate(values, shares=name == "multi_hop" or (one_edit and name in ONE_QUESTION), seed=seed)
        for name, values in by_case.items()
    }
    parts = [by_case[name] for name in SCORE]
    low, high = bootstrap(parts, harmonic_mean, seed=seed) if cases else UNDEFINED
    value = harmonic_mean([mean(part) for part in parts])
    whole = MetricValue(
        value=value,
        low=low,
        high=high,
        cases=0 if math.isnan(value) else len(cases),
        interval="" if math.isnan(value) else "bootstrap",
    )
    return {**{name: found[name] for name in SCORE}, "S": whole, **found}


def _estimate(values: Sequence[float], *, shares: bool, seed: int) -> MetricValue:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return MetricValue(value=math.nan, low=math.nan, high=math.nan, cases=0, interval="")
    if shares:
        bounds = wilson(math.fsum(known), len(known))
    else:
        bounds = bootstrap([known], lambda means: means[0], seed=seed)
    return MetricValue(
        value=mean(known),
        low=bounds.low,
        high=bounds.high,
        cases=len(known),
        interval="wilson" if shares else "bootstrap",
    )


def ratio_on_texts(ratio: PairedRatio) -> MetricValue:
    """The ratio of two perplexities on the same texts."""
    low, high = ratio.bounds((1 + CONFIDENCE) / 2)
    return MetricValue(value=ratio.ratio, low=low, high=high, cases=ratio.texts, interval="texts")


def mean_ratio(ratios: Sequence[float], *, seed: int) -> MetricValue:
    """The mean of the ratios that single edits gave, with a bootstrap over the edits."""
    return _estimate(ratios, shares=False, seed=seed)


def as_numbers(found: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    """The estimates as plain data; NaN where no case has a question."""
    return {name: asdict(one) for name, one in found.items()}
