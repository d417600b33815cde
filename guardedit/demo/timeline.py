"""The story of a ledger as points over epochs: what was accepted, rejected, rolled back, at which perplexity.

Reads recorded events; draws nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardedit.core.fact import Placement
from guardedit.core.verdict import Outcome
from guardedit.ledger.reading import LedgerReader

#: Kinds of epochs that return to an older state.
RETURNS = frozenset({"rollback", "demote", "undo", "redo"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One moment. `mark` is `accepted`, `rejected`, `rolled_back` or empty (nothing of the weights changed).

    `ratio` is perplexity over the base model's on the guard's texts; NaN where it was not measured, as with
    an edit that was refused before any forward pass.
    """

    at: float  # epoch number; a rejected trial stands behind the epoch that went on serving
    kind: str
    mark: str
    ratio: float
    memory: int
    weights: int
    reason: str = ""


def timeline(ledger: LedgerReader) -> list[Point]:
    """All epochs and rejected trials, in the order in which they happened."""
    points: list[Point] = []
    places: dict[tuple[str, ...], str] = {}
    known: dict[str, float] = {}  # weights hash -> ratio
    ratio, number, trials = 1.0, 0, 0
    for _, kind, body in ledger.events(kinds=("epoch", "trial")):
        if kind == "trial":
            trials += 1
            points.append(_trial(body, at=number + 1.0 - 0.9 * 0.8**trials, before=points[-1]))
            continue
        for change in body["changes"]:
            key = tuple(change["key"])
            places.pop(key, None)
            if change["fact"] is not None:
                places[key] = change["fact"]["placement"]
        number, trials, weights = body["number"], 0, body["weights_sha256"]
        if weights == body["base_sha256"]:
            ratio = 1.0
        elif weights in known:
            ratio = known[weights]
        else:
            ratio = _ratio(body["verdict"])
        known[weights] = ratio
        count = Counter(places.values())
        points.append(
            Point(
                at=float(number),
                kind=body["kind"],
                mark=_mark(body),
                ratio=ratio,
                memory=count[Placement.MEMORY],
                weights=count[Placement.WEIGHTS],
                reason=body["reason"],
            )
        )
    return points


def _mark(body: Mapping[str, Any]) -> str:
    if body["kind"] in RETURNS:
        return "rolled_back"
    return "accepted" if body["kind"] == "promote" else ""


def _trial(body: Mapping[str, Any], *, at: float, before: Point) -> Point:
    verdict = body["verdict"]
    return Point(
        at=at,
        kind="trial",
        mark="rejected" if verdict["outcome"] != Outcome.ACCEPT else "",
        ratio=_ratio(verdict),
        memory=before.memory,
        weights=before.weights,
        reason=verdict["reason"],
    )


def _ratio(verdict: Mapping[str, Any] | None) -> float:
    value = (verdict or {}).get("measured", {}).get("perplexity_ratio_to_base", math.nan)
    return math.nan if value is None else float(value)
