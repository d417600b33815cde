"""The demo's numbers in one place: what must be reached, and whether it was.

Knows the names and limits; measures nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One number that a run must reach."""

    name: str
    sign: str
    limit: float
    meaning: str

    def met(self, value: float) -> bool:
        """NaN never meets a threshold."""
        return _SIGNS[self.sign](value, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A threshold and what was measured."""

    threshold: Threshold
    value: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.threshold.met(self.value)


def _threshold(name: str, sign: str, limit: float, meaning: str) -> Threshold:
    return Threshold(name=name, sign=sign, limit=limit, meaning=meaning)


#: In the order of the table.
THRESHOLDS = (
    _threshold("exact_match", ">=", 0.97, "live facts, the corrections' own questions"),
    _threshold("paraphrase", ">=", 0.90, "live facts, wordings nobody was told"),
    _threshold("locality_other_subject", ">=", 0.98, "facts about other subjects unchanged"),
    _threshold("locality_same_subject", ">=", 0.95, "other facts about corrected subjects unchanged"),
    _threshold(
        "perplexity_ratio", "<=", 1.03, "served weights over base, on texts that neither guard nor model saw"
    ),
    _threshold(
        "disabling_injected", ">=", 10, "lines whose edit ruins the model, measured without the guard"
    ),
    _threshold("disabling_served", "=", 0, "epochs ever served that are ruined by the same measure"),
    _threshold("disabling_promoted", "=", 0, "of the disabling lines, in the weights of any epoch"),
    _threshold("false_rejections", "<=", 0.03, "benign edits turned away that pass alone"),
    _threshold("share_in_weights", ">=", 1 / 3, "of the live facts that the policy sent to the weights"),
    _threshold("lost", "=", 0, "corrections without their effect"),
    _threshold("applied_twice", "=", 0, "corrections that took effect twice"),
    _threshold("hashes_equal", "=", 1, "after rollback, undo, redo and restart"),
    _threshold("ledger_problems", "=", 0, "found by verifying every event, row and blob"),
    _threshold("unexpected_fates", "<=", 0.02, "lines settled otherwise than the stream foresaw"),
)


#: Told without a limit: name and meaning.
TOLD = {
    "live_p50_s": "seconds from submit to live, median of all accepted corrections, handed in between trials",
    "live_p99_s": "the same, 99 of 100 corrections",
    "seconds": "of work on the stream, until it ended",
    "guard_seconds": "of those in trials, inspections and watching",
    "seconds_without_guard": "the rest: what the stream would have cost without the guard",
    "seconds_per_correction": "of work",
}


def rows(report: Mapping[str, Any]) -> list[Row]:
    """Each threshold with the report's value; NaN where the report has none."""
    return [Row(threshold=t, value=_number(report.get(t.name))) for t in THRESHOLDS]


def reached(report: Mapping[str, Any]) -> bool:
    """Whether every threshold is met."""
    return all(row.met for row in rows(report))


def _number(value: object) -> float:
    if isinstance(value, list | tuple):
        return float(len(value))
    return float(value) if isinstance(value, bool | int | float) else math.nan
