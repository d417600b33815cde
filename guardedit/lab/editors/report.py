"""A comparison as plain data and as rows of two tables. Knows measured methods; prints and draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from guardedit.lab.editors.alone import Alone
from guardedit.lab.editors.compare import Measured
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import Point

#: Columns of both tables.
SHARES = tuple(measure.value for measure in Measure)
COSTS = ("perplexity_ratio", "seconds_per_edit", "bytes_per_edit")


def numbers(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """Everything that was measured, one object a method, ready for JSON."""
    return [
        {
            "method": one.name,
            "family": None if one.card is None else one.card.family,
            "problem": one.problem or None,
            "single": None if one.alone is None else _alone(one.alone),
            "sequence": [_point(point) for point in one.points],
        }
        for one in found
    ]


def single_table(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row a method that made single edits."""
    return [
        {"method": one.name, **_shown(_alone(one.alone)), "refused": one.alone.refused}
        for one in found
        if one.alone is not None
    ]


def sequence_table(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row a method: after its last point, which comes early where a method broke."""
    return [
        {
            "method": one.name,
            "edits": one.points[-1].edits,
            **_shown(_point(one.points[-1])),
            "retention": round(one.points[-1].retention, 3),
            "newest": round(one.points[-1].newest, 3),
            "refused": one.points[-1].refused,
        }
        for one in found
        if one.points
    ]


def problems(found: Sequence[Measured]) -> list[str]:
    """One line for each method that ended early."""
    return [f"{one.name}: {one.problem}" for one in found if one.problem]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Shares to three places, which is as fine as a few hundred questions are."""
    return {
        **{name: round(row[name], 3) for name in SHARES},
        "perplexity": round(row["perplexity_ratio"], 4),
        "s/edit": round(row["seconds_per_edit"], 3),
        "kB/edit": round(row["bytes_per_edit"] / 1000, 1),
    }


def _alone(alone: Alone) -> dict[str, Any]:
    body = {name: value for name, value in asdict(alone).items() if name not in ("counts", "reasons")}
    return {**body, **alone.counts.shares, "asked": dict(alone.counts.asked), "reasons": alone.reasons}


def _point(point: Point) -> dict[str, Any]:
    body = {name: value for name, value in asdict(point).items() if name != "counts"}
    return {**body, **point.counts.shares, "asked": dict(point.counts.asked)}
