"""Lists the demo's numbers with their limits, and checks whether a report reaches them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit for one number of the report.

    Attributes:
        name: name of the number.
        sign: `>=`, `<=` or `=`.
        limit: value that the number must reach.
        meaning: meaning of the number, in a few words for tables.
    """

    name: str
    sign: str
    limit: float
    meaning: str

    def met(self, value: float) -> bool:
        """Whether the value is within the limit. NaN never is."""
        return _SIGNS[self.sign](value, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdResult:
    """A threshold and the measured value."""

    threshold: Threshold
    value: float

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return self.threshold.met(self.value)


def _threshold(name: str, sign: str, limit: float, meaning: str) -> Threshold:
    return Threshold(name=name, sign=sign, limit=limit, meaning=meaning)


#: In the order of the table, for the embedded model.
THRESHOLDS = (
    _threshold("exact_match", ">=", 0.97, "live facts answered, asked with the corrections' own prompts"),
    _threshold("paraphrase", ">=", 0.90, "live facts answered, asked in wordings that no message contained"),
    _threshold("locality_other_subject", ">=", 0.98, "unchanged answers about other subjects"),
    _threshold(
        "locality_same_subject", ">=", 0.95, "unchanged answers about other facts of corrected subjects"
    ),
    _threshold(
        "perplexity_ratio", "<=", 1.03, "served over base model, on texts that neither guard nor model saw"
    ),
    _threshold(
        "disabling_injected", ">=", 10, "messages whose edit ruins the model, measured without the guard"
    ),
    _threshold("disabling_served", "=", 0, "served epochs that are ruined by the same measure"),
    _threshold("disabling_promoted", "=", 0, "disabling messages in the weights of any epoch"),
    _threshold("false_rejections", "<=", 0.03, "benign edits that the guard rejected but that pass alone"),
    _threshold("share_in_weights", ">=", 1 / 3, "of the live facts that the policy sent to the weights"),
    _threshold("lost", "=", 0, "corrections without their effect"),
    _threshold("applied_twice", "=", 0, "corrections that took effect twice"),
    _threshold("hashes_equal", "=", 1, "all digests as expected after rollback, undo, redo and restart"),
    _threshold("ledger_problems", "=", 0, "found by verifying every event, row and blob"),
    _threshold("unexpected_fates", "<=", 0.02, "messages with another fate than expected"),
)

#: Limits that differ with any other model. It knows less, answers in sentences of its own, and its edits are
#: less sure; an answer counts if it names the object in its first sentence.
_PUBLIC_LIMITS: Mapping[str, float] = {
    "exact_match": 0.95,
    "paraphrase": 0.88,
    "locality_other_subject": 0.97,
    "locality_same_subject": 0.93,
    "perplexity_ratio": 1.02,
    "disabling_injected": 5,
    "false_rejections": 0.05,
    "share_in_weights": 0.30,
}
#: World of the report -> its limits.
THRESHOLDS_OF: Mapping[str, tuple[Threshold, ...]] = {
    "embedded": THRESHOLDS,
    "public": tuple(replace(one, limit=_PUBLIC_LIMITS.get(one.name, one.limit)) for one in THRESHOLDS),
}


#: Numbers without a limit -> meaning.
WITHOUT_LIMIT = {
    "live_p50_s": "median seconds from submission to live; messages are submitted between trials",
    "live_p99_s": "the same, 99th percentile",
    "seconds": "of work on the stream, until it ended",
    "guard_seconds": "of these, in inspections, trials and drift checks",
    "seconds_without_guard": "the others, which the stream would also take without the guard",
    "seconds_per_correction": "of work per message",
}


def threshold_results(report: Mapping[str, Any]) -> list[ThresholdResult]:
    """Each threshold of the report's world with the report's value; NaN where the report has none."""
    thresholds = THRESHOLDS_OF[report.get("world", "embedded")]
    return [ThresholdResult(threshold=t, value=_number(report.get(t.name))) for t in thresholds]


def reached(report: Mapping[str, Any]) -> bool:
    """Whether every threshold is met."""
    return all(result.met for result in threshold_results(report))


def _number(value: object) -> float:
    """A list counts by its length."""
    if isinstance(value, list | tuple):
        return float(len(value))
    return float(value) if isinstance(value, bool | int | float) else math.nan
