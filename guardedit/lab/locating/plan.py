"""What is restored for one fact, and how the scores become effects by kind of token and layer.

Knows positions, layers and windows. Runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, Array, kinds
from guardedit.lab.locating.restore import Part, Restoration
from guardedit.lab.locating.statements import Asked

#: What is restored in windows, and what can be severed from a restored hidden state.
MEDIATORS = (Part.MLP, Part.ATTENTION)


def usual_window(layers: int) -> int:
    """Ten as in the paper, which has 48 layers; half of a small model's, or no two windows would differ.

    >>> usual_window(48), usual_window(6), usual_window(1)
    (10, 3, 1)
    """
    return max(1, min(10, layers // 2))


def window_around(layer: int, *, window: int, layers: int) -> range:
    """The layers restored together for `layer`, cut off at the model's ends.

    >>> window_around(3, window=3, layers=6), window_around(0, window=10, layers=6)
    (range(2, 5), range(0, 5))
    """
    return range(max(0, layer - window // 2), min(layers, layer + (window + 1) // 2))


@dataclass(frozen=True, slots=True)
class Step:
    """A restoration and whose effect it measures."""

    name: str
    layer: int
    restoration: Restoration


def plan_of(asked: Asked, *, layers: int, window: int) -> list[Step]:
    """Every restoration of a fact; none before the subject, where all states are clean anyway."""
    steps = []
    for layer in range(layers):
        hidden = ((Part.HIDDEN, layer),)
        near = window_around(layer, window=window, layers=layers)
        for token in range(asked.subject[0], len(asked.ids)):
            steps.append(Step(Part.HIDDEN.value, layer, Restoration((token,), hidden)))
            steps += [
                Step(part.value, layer, Restoration((token,), tuple((part, other) for other in near)))
                for part in MEDIATORS
            ]
        for part in MEDIATORS:
            later = tuple((part, other) for other in range(layer + 1, layers))
            severed = Restoration((asked.subject[-1],), hidden, later)
            steps.append(Step(f"severed {part.value}", layer, severed))
    return steps


def effects_of(
    asked: Asked, plan: Sequence[Step], found: Sequence[float], *, layers: int
) -> dict[str, Array]:
    """Indirect effects of one fact: name -> [kinds of `TOKENS`, layers], severed ones [layers]."""
    by_token: dict[str, Array] = {}
    for step, effect in zip(plan, found, strict=True):
        grid = by_token.setdefault(step.name, np.full((len(asked.ids), layers), math.nan))
        grid[step.restoration.tokens[0], step.layer] = effect
    positions = kinds(asked.subject, len(asked.ids))
    effects: dict[str, Array] = {}
    for name, grid in by_token.items():
        rows = [grid[at].mean(axis=0) if at else np.full(layers, math.nan) for at in positions]
        effects[name] = rows[SUBJECT_LAST] if name.startswith("severed") else np.stack(rows)
    return effects
