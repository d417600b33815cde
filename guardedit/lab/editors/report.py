"""Converts a comparison to JSON data and to the rows of two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from guardedit.lab.editors.alone import SingleEditScores
from guardedit.lab.editors.compare import MethodResult
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import SequencePoint

#: Columns of both tables.
SHARES = tuple(measure.value for measure in Measure)


def numbers(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """All measurements, one object per method, ready for JSON."""
    return [
        {
            "method": one.name,
            "family": None if one.card is None else one.card.family,
            "problem": one.problem or None,
            "single": None if one.alone is None else _single(one.alone),
            "sequence": [_point(point) for point in one.points],
        }
        for one in results
    ]


def single_table(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """One row per method that made single edits."""
    return [
        {"method": one.name, **_rounded(_single(one.alone)), "refused": one.alone.refused}
        for one in results
        if one.alone is not None
    ]


def sequence_table(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """One row per method: its last point, which is an early one if the method failed."""
    return [
        {
            "method": one.name,
            "edits": one.points[-1].edits,
            **_rounded(_point(one.points[-1])),
            "retention": round(one.points[-1].retention, 3),
            "newest": round(one.points[-1].newest, 3),
            "refused": one.points[-1].refused,
        }
        for one in results
        if one.points
    ]


def problems(results: Sequence[MethodResult]) -> list[str]:
    """One line per method that ended early."""
    return [f"{one.name}: {one.problem}" for one in results if one.problem]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The shares rounded to three decimals, since a few hundred questions give no higher precision."""
    return {
        **{name: round(row[name], 3) for name in SHARES},
        "perplexity": round(row["perplexity_ratio"], 4),
        "s/edit": round(row["seconds_per_edit"], 3),
        "kB/edit": round(row["bytes_per_edit"] / 1000, 1),
    }


def _single(scores: SingleEditScores) -> dict[str, Any]:
    body = {name: value for name, value in asdict(scores).items() if name not in ("counts", "reasons")}
    return {**body, **scores.counts.shares, "asked": dict(scores.counts.asked), "reasons": scores.reasons}


def _point(point: SequencePoint) -> dict[str, Any]:
    body = {name: value for name, value in asdict(point).items() if name != "counts"}
    return {**body, **point.counts.shares, "asked": dict(point.counts.asked)}
