"""Plans the restorations of one fact, and turns their scores into effects by kind of token and layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, Array, kinds
from guardedit.lab.locating.restore import Restoration, TracedPart
from guardedit.lab.locating.statements import TokenizedStatement

#: Parts that are restored in windows, and severed from a restored hidden state.
MEDIATORS = (TracedPart.MLP, TracedPart.ATTENTION)


def usual_window(layers: int) -> int:
    """The default window: ten as in the paper, whose model has 48 layers, but at most half of the layers.

    With a wider window all windows of a small model would be alike.

    >>> usual_window(48), usual_window(6), usual_window(1)
    (10, 3, 1)
    """
    return max(1, min(10, layers // 2))


def window_around(layer: int, *, window: int, layers: int) -> range:
    """The layers that are restored together for `layer`, cut off at the ends of the model.

    >>> window_around(3, window=3, layers=6), window_around(0, window=10, layers=6)
    (range(2, 5), range(0, 5))
    """
    return range(max(0, layer - window // 2), min(layers, layer + (window + 1) // 2))


@dataclass(frozen=True, slots=True)
class PlannedRestoration:
    """A restoration, and the effect (name and layer) that it measures."""

    name: str
    layer: int
    restoration: Restoration


def plan_of(tokenized: TokenizedStatement, *, layers: int, window: int) -> list[PlannedRestoration]:
    """All restorations of a fact. Tokens before the subject are left out, because their states are clean."""
    plan = []
    for layer in range(layers):
        hidden = ((TracedPart.HIDDEN, layer),)
        near = window_around(layer, window=window, layers=layers)
        for token in range(tokenized.subject[0], len(tokenized.ids)):
            plan.append(PlannedRestoration(TracedPart.HIDDEN.value, layer, Restoration((token,), hidden)))
            plan += [
                PlannedRestoration(
                    part.value, layer, Restoration((token,), tuple((part, other) for other in near))
                )
                for part in MEDIATORS
            ]
        for part in MEDIATORS:
            later = tuple((part, other) for other in range(layer + 1, layers))
            severed = Restoration((tokenized.subject[-1],), hidden, later)
            plan.append(PlannedRestoration(f"severed {part.value}", layer, severed))
    return plan


def effects_of(
    tokenized: TokenizedStatement,
    plan: Sequence[PlannedRestoration],
    measured: Sequence[float],
    *,
    layers: int,
) -> dict[str, Array]:
    """Indirect effects of one fact: name -> [kinds of `TOKENS`, layers]; severed effects are [layers].

    Args:
        tokenized: the fact.
        plan: its restorations.
        measured: the effect of each restoration.
        layers: number of layers of the model.
    """
    by_token: dict[str, Array] = {}
    for step, effect in zip(plan, measured, strict=True):
        grid = by_token.setdefault(step.name, np.full((len(tokenized.ids), layers), math.nan))
        grid[step.restoration.tokens[0], step.layer] = effect
    positions = kinds(tokenized.subject, len(tokenized.ids))
    effects: dict[str, Array] = {}
    for name, grid in by_token.items():
        rows = [grid[at].mean(axis=0) if at else np.full(layers, math.nan) for at in positions]
        effects[name] = rows[SUBJECT_LAST] if name.startswith("severed") else np.stack(rows)
    return effects
