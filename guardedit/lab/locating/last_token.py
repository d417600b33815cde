"""A small trace: by layer, what the MLPs at the subject's last token bring back, and nothing else.

The effect on which the case for editing the traced layer rests (Meng et al. 2022, section 2.2), for
setting beside what editing there does. A sixth of a whole trace's work or less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, average
from guardedit.lab.locating.noise import spread
from guardedit.lab.locating.plan import plan_of, usual_window
from guardedit.lab.locating.restore import Part
from guardedit.lab.locating.statements import Statement, ask
from guardedit.lab.locating.trace import TraceSettings, choose, gather
from guardedit.models.host import ModelHost

#: Average over a sample; a trace that only draws one line needs no more facts.
FACTS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEffects:
    """Average indirect effect of a window of MLPs around each layer, at the subject's last token.

    Attributes:
        mean: share of probability of the answer's first token that comes back; NaN where undefined.
        error: standard error of the mean; NaN for fewer than two facts.
        facts: how many were traced.
        window: of MLPs restored together.
    """

    mean: tuple[float, ...]
    error: tuple[float, ...]
    facts: int
    window: int


def last_token_effects(
    host: ModelHost,
    statements: Sequence[Statement],
    settings: TraceSettings,
    *,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> LayerEffects:
    """As `trace`, of the same facts with the same noise, and with the same errors."""
    asked = ask(host, statements)
    sigma = settings.noise * spread(host, asked)
    chosen, _ = choose(host, asked, settings)
    window = min(settings.window or usual_window(host.layers), host.layers)
    plans = [
        [
            step
            for step in plan_of(one, layers=host.layers, window=window)
            if step.name == Part.MLP.value and step.restoration.tokens == (one.subject[-1],)
        ]
        for one in chosen
    ]
    gathered, _, _ = gather(host, chosen, plans, settings, sigma=sigma, tell=tell)
    found = average([np.asarray(effects[SUBJECT_LAST]) for effects in gathered[Part.MLP.value]])
    return LayerEffects(
        mean=tuple(found.mean.tolist()), error=tuple(found.error.tolist()), facts=len(chosen), window=window
    )
