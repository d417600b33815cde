"""A sweep as plain data, as rows of tables, and as an edit card. Prints and draws nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from guardedit.editing.edit_card import EditCard
from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.sweep.beside import rank_correlation
from guardedit.lab.sweep.search import Search, Tried

_ROUNDED = 6


def numbers(found: Search, trace: LayerEffects | None) -> list[dict[str, Any]]:
    """One object a candidate, in the order of trying, ready for JSON.

    `trace` is the effect of tracing the layer; None for a window, which has none.
    """
    return [
        {
            "layers": list(one.place.layers),
            "dials": {kind: dict(dials) for kind, dials in asdict(one.dials).items() if dials},
            "trace": None if (effect := traced(one, trace)) is None else _rounded(effect),
            "usable": one.merit.usable,
            "merit": _rounded(one.merit.value),
            "alone": _shares(one, "alone"),
            "together": _shares(one, "together"),
            "seconds": round(one.seconds, 1),
            "problem": one.problem or None,
        }
        for one in (*found.places, *found.dials)
    ]


def agreement(found: Search, trace: LayerEffects | None) -> float:
    """Rank correlation over single layers between tracing effect and merit; NaN where undefined."""
    single = [one for one in found.places if one.place.alone]
    effects = [traced(one, trace) for one in single]
    pairs = [(e, one.merit.value) for e, one in zip(effects, single, strict=True) if e is not None]
    return rank_correlation([effect for effect, _ in pairs], [value for _, value in pairs])


def traced(one: Tried, trace: LayerEffects | None) -> float | None:
    """The tracing effect at a single layer, a share of probability; None for a window or without a trace."""
    return None if trace is None or not one.place.alone else trace.mean[one.place.layer]


def card_of(
    found: Search,
    trace: LayerEffects | None,
    *,
    base_sha256: str,
    about: Mapping[str, Any],
    layers: tuple[int, ...] | None = None,
) -> EditCard:
    """What the sweep chose: the best layer alone for methods of one layer, the best place for the others.

    Args:
        found: the sweep.
        trace: beside it.
        base_sha256: digest of the base model.
        about: method, facts and seed.
        layers: where a change is spread, when the sweep cannot say.
    """
    single = found.best.place if math.isnan(found.single.merit.value) else found.single.place
    return EditCard(
        base_sha256=base_sha256,
        layer=single.layer,
        layers=layers or found.best.place.layers,
        edit=found.best.dials.edit,
        joint=found.best.dials.joint,
        about={
            **about,
            "usable": found.best.merit.usable,
            "trace_facts": None if trace is None else trace.facts,
            "trace_window": None if trace is None else trace.window,
            "rank_correlation": agreement(found, trace),
        },
        sweep=tuple(numbers(found, trace)),
    )


def place_table(found: Search, trace: LayerEffects | None) -> list[dict[str, Any]]:
    """Stage one: one row a place, tracing on the left and editing on the right."""
    return [
        {
            "layers": str(one.place),
            "trace": None if (effect := traced(one, trace)) is None else round(effect, 4) + 0.0,
            **_shown(one),
            "best": "*" if one.place == found.best.place else "",
        }
        for one in found.places
    ]


def dial_table(found: Search) -> list[dict[str, Any]]:
    """Stage two: one row for each changed dial."""
    return [
        {"dials": str(one.dials), **_shown(one), "best": "*" if one is found.best else ""}
        for one in found.dials
    ]


def problems(found: Search) -> list[str]:
    """One line for each candidate that ended early, and one when none is usable."""
    lines = [
        f"layers {one.place} {one.dials}: {one.problem}"
        for one in (*found.places, *found.dials)
        if one.problem
    ]
    if not found.best.merit.usable:
        lines.append("single edits do not reach what they should anywhere: the best of a poor lot is named")
    return lines


def _shown(one: Tried) -> dict[str, Any]:
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


def _shares(one: Tried, name: str) -> dict[str, Any]:
    return {key: _rounded(value) for key, value in asdict(getattr(one.score, name)).items()}


def _rounded(value: float) -> float:
    return round(value, _ROUNDED)
