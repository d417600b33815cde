"""Converts a sweep to JSON data, table rows, and an edit card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from guardedit.editing.edit_card import CardSettings, EditCard
from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.sweep.search import CandidateResult, SweepResult
from guardedit.lab.sweep.tracing import rank_correlation

_DECIMALS = 6


def numbers(result: SweepResult, trace: LayerEffects | None) -> list[dict[str, Any]]:
    """One object per candidate, in the order of trying, ready for JSON.

    `trace` in an object is the tracing effect at the layer; None for a window.
    """
    return [
        {
            "layers": list(one.place.layers),
            "dials": {kind: dict(values) for kind, values in asdict(one.settings).items() if values},
            "trace": None if (effect := traced(one, trace)) is None else _rounded(effect),
            "usable": one.merit.usable,
            "merit": _rounded(one.merit.value),
            "alone": _shares(one, "alone"),
            "together": _shares(one, "together"),
            "seconds": round(one.seconds, 1),
            "problem": one.problem or None,
        }
        for one in (*result.places, *result.variations)
    ]


def agreement(result: SweepResult, trace: LayerEffects | None) -> float:
    """Rank correlation between tracing effect and merit over single layers; NaN where undefined."""
    single = [one for one in result.places if one.place.alone]
    effects = [traced(one, trace) for one in single]
    pairs = [(e, one.merit.value) for e, one in zip(effects, single, strict=True) if e is not None]
    return rank_correlation([effect for effect, _ in pairs], [value for _, value in pairs])


def traced(one: CandidateResult, trace: LayerEffects | None) -> float | None:
    """The tracing effect at a single layer, as a probability; None for a window or without a trace."""
    return None if trace is None or not one.place.alone else trace.mean[one.place.layer]


def card_of(
    result: SweepResult,
    trace: LayerEffects | None,
    *,
    base_sha256: str,
    about: Mapping[str, Any],
    layers: tuple[int, ...] | None = None,
) -> EditCard:
    """The edit card: the best single layer for methods of one layer, the best place for the others.

    Args:
        result: result of the sweep.
        trace: trace to record in the card.
        base_sha256: digest of the base model.
        about: method, facts and seed.
        layers: layers over which methods spread an edit, if the sweep cannot decide that.
    """
    single = result.best.place if math.isnan(result.single.merit.value) else result.single.place
    return EditCard(
        base_sha256=base_sha256,
        layer=single.layer,
        layers=layers or result.best.place.layers,
        settings=CardSettings(edit=result.best.settings.edit, joint=result.best.settings.joint),
        about={
            **about,
            "usable": result.best.merit.usable,
            "trace_facts": None if trace is None else trace.facts,
            "trace_window": None if trace is None else trace.window,
            "rank_correlation": agreement(result, trace),
        },
        sweep=tuple(numbers(result, trace)),
    )


def place_table(result: SweepResult, trace: LayerEffects | None) -> list[dict[str, Any]]:
    """Stage one: one row per place, with the tracing effect on the left and the edits on the right."""
    return [
        {
            "layers": str(one.place),
            "trace": None if (effect := traced(one, trace)) is None else round(effect, 4) + 0.0,
            **_columns(one),
            "best": "*" if one.place == result.best.place else "",
        }
        for one in result.places
    ]


def settings_table(result: SweepResult) -> list[dict[str, Any]]:
    """Stage two: one row per changed setting."""
    return [
        {"settings": str(one.settings), **_columns(one), "best": "*" if one is result.best else ""}
        for one in result.variations
    ]


def problems(result: SweepResult) -> list[str]:
    """One line per candidate that ended early, and one line if none is usable."""
    lines = [
        f"layers {one.place} {one.settings}: {one.problem}"
        for one in (*result.places, *result.variations)
        if one.problem
    ]
    if not result.best.merit.usable:
        lines.append(
            "no candidate's single edits reach the limits, so the best of the unusable ones is chosen"
        )
    return lines


def _columns(one: CandidateResult) -> dict[str, Any]:
    alone, together = one.score.alone, one.score.together
    return {
        "efficacy": round(alone.efficacy, 3),
        "other": round(alone.other_subject, 3),
        "same": round(alone.same_subject, 3),
        "tog.efficacy": round(together.efficacy, 3),
        "tog.unseen": round(together.unseen, 3),
        "tog.other": round(together.other_subject, 3),
        "tog.same": round(together.same_subject, 3),
        "tog.perplexity": round(together.perplexity_ratio, 4),
        "s/edit": round(together.seconds_per_edit, 2),
        "refused": alone.refused + together.refused,
        "usable": one.merit.usable,
        "merit": round(one.merit.value, 3),
    }


def _shares(one: CandidateResult, name: str) -> dict[str, Any]:
    return {key: _rounded(value) for key, value in asdict(getattr(one.score, name)).items()}


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)
