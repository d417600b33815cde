"""Turns a ledger's history into points over epochs: accepted, rejected and rolled back, with perplexity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardedit.core.fact import Placement
from guardedit.core.verdict import Outcome
from guardedit.ledger.reading import LedgerReader

#: Kinds of epochs that return to an earlier state.
RETURNS = frozenset({"rollback", "demote", "undo", "redo"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePoint:
    """One epoch, or one trial without an epoch.

    Attributes:
        at: epoch number; a rejected trial is placed after the epoch that continued to serve.
        kind: kind of the epoch, or `trial`.
        mark: `accepted`, `rejected`, `rolled_back`, or empty if the weights did not change.
        ratio: perplexity over the base model's. Of an epoch it is that of the drift watch, on all texts of
            the guard, else that of its trial, which may have read a part of them. NaN if it was not
            measured, for example when an edit was rejected before any forward pass.
        memory: live facts in memory.
        weights: live facts in the weights.
        reason: reason of the epoch or the verdict.
    """

    at: float
    kind: str
    mark: str
    ratio: float
    memory: int
    weights: int
    reason: str = ""


def timeline(ledger: LedgerReader) -> list[TimelinePoint]:
    """All epochs and rejected trials, in order."""
    points: list[TimelinePoint] = []
    placements: dict[tuple[str, ...], str] = {}
    known: dict[str, float] = {}  # weights digest -> ratio
    readings = {body["epoch"]: body["log_ratio_to_base"] for _, _, body in ledger.events(kinds=("reading",))}
    ratio, number, trials = 1.0, 0, 0
    for _, kind, body in ledger.events(kinds=("epoch", "trial")):
        if kind == "trial":
            trials += 1
            # Trials after the same epoch move closer and closer to the next number.
            points.append(_trial(body, at=number + 1.0 - 0.9 * 0.8**trials, previous=points[-1]))
            continue
        for change in body["changes"]:
            key = tuple(change["key"])
            placements.pop(key, None)
            if change["fact"] is not None:
                placements[key] = change["fact"]["placement"]
        number, trials, weights = body["number"], 0, body["weights_sha256"]
        if weights == body["base_sha256"]:
            ratio = 1.0
        elif number in readings:
            ratio = math.exp(readings[number])
        elif weights in known:
            ratio = known[weights]
        else:
            ratio = _ratio(body["verdict"])
        known[weights] = ratio
        count = Counter(placements.values())
        points.append(
            TimelinePoint(
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


def _trial(body: Mapping[str, Any], *, at: float, previous: TimelinePoint) -> TimelinePoint:
    verdict = body["verdict"]
    return TimelinePoint(
        at=at,
        kind="trial",
        mark="rejected" if verdict["outcome"] != Outcome.ACCEPT else "",
        ratio=_ratio(verdict),
        memory=previous.memory,
        weights=previous.weights,
        reason=verdict["reason"],
    )


def _ratio(verdict: Mapping[str, Any] | None) -> float:
    value = (verdict or {}).get("measured", {}).get("perplexity_ratio_to_base", math.nan)
    return math.nan if value is None else float(value)
