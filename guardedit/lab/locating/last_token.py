"""Runs a small trace: only the effect of MLPs at the subject's last token, by layer.

This effect is the reason given for editing the layer where it peaks (Meng et al. 2022, section 2.2). The
sweep shows it beside the results of editing. The small trace costs at most a sixth of a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, average
from guardedit.lab.locating.noise import embedding_std
from guardedit.lab.locating.plan import plan_of, usual_window
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.statements import Statement, tokenize
from guardedit.lab.locating.trace import TraceSettings, choose, gather
from guardedit.models.host import ModelHost

#: Facts of a small trace: one curve needs no more.
FACTS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEffects:
    """Average indirect effect of a window of MLPs around each layer, at the subject's last token.

    Attributes:
        mean: restored probability of the answer's first token, in [-1, 1]; NaN where undefined.
        error: standard error of the mean; NaN for fewer than two facts.
        facts: number of facts traced.
        window: number of MLPs restored together.
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
    """The same numbers, noise and errors as `trace` has for MLPs at the subject's last token."""
    tokenized = tokenize(host, statements)
    sigma = settings.noise * embedding_std(host, tokenized)
    chosen, _ = choose(host, tokenized, settings)
    window = min(settings.window or usual_window(host.layers), host.layers)
    plans = [
        [
            step
            for step in plan_of(one, layers=host.layers, window=window)
            if step.name == TracedPart.MLP.value and step.restoration.tokens == (one.subject[-1],)
        ]
        for one in chosen
    ]
    gathered, _, _ = gather(host, chosen, plans, settings, sigma=sigma, tell=tell)
    found = average([np.asarray(effects[SUBJECT_LAST]) for effects in gathered[TracedPart.MLP.value]])
    return LayerEffects(
        mean=tuple(found.mean.tolist()), error=tuple(found.error.tolist()), facts=len(chosen), window=window
    )
