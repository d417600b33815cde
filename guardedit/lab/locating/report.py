"""A trace as plain data and as table rows.

Knows averages; prints and draws nothing.
"""

from __future__ import annotations

from typing import Any

from guardedit.lab.locating.effects import LAST, SUBJECT_LAST, TOKENS, peak
from guardedit.lab.locating.plan import MEDIATORS
from guardedit.lab.locating.restore import Part
from guardedit.lab.locating.trace import Trace


def numbers(trace: Trace) -> dict[str, Any]:
    """Everything that was measured, ready for JSON.

    `indirect_effect` and its `standard_error` hold for each part and kind of token one number a layer,
    `severed` for each severed part; `facts_with` counts the facts that have such a token.
    """
    hidden = trace.effects[Part.HIDDEN]
    return {
        "facts": trace.facts,
        "skipped": trace.skipped,
        "score": "probability of the answer's first token",
        "layers": trace.layers,
        "window": trace.window,
        "noise_sigma": trace.sigma,
        "clean": trace.clean,
        "corrupted": trace.corrupted,
        "total_effect": trace.total_effect,
        "facts_with": {name: int(row[0]) for name, row in zip(TOKENS, hidden.facts, strict=True)},
        "indirect_effect": {
            part.value: dict(zip(TOKENS, found.mean.tolist(), strict=True))
            for part, found in trace.effects.items()
        },
        "standard_error": {
            part.value: dict(zip(TOKENS, found.error.tolist(), strict=True))
            for part, found in trace.effects.items()
        },
        "severed": {
            part.value: {"indirect_effect": found.mean.tolist(), "standard_error": found.error.tolist()}
            for part, found in trace.severed.items()
        },
        "peaks": peaks(trace),
    }


def peaks(trace: Trace) -> list[dict[str, Any]]:
    """One row for each part and kind of token: the layer with the greatest effect, None without one."""
    rows = []
    for part, found in trace.effects.items():
        for token, effects in zip(TOKENS, found.mean, strict=True):
            layer = peak(effects)
            effect = float("nan") if layer is None else float(effects[layer])
            rows.append(
                {
                    "part": part.value,
                    "token": token,
                    "layer": layer,
                    "effect": effect,
                    "share": effect / trace.total_effect if trace.total_effect > 0 else float("nan"),
                }
            )
    return rows


def summary(trace: Trace) -> str:
    """The result in a few sentences."""
    found = {(row["part"], row["token"]): row for row in peaks(trace)}

    def told(part: Part, token: int) -> str:
        row = found[part.value, TOKENS[token]]
        return f"{row['effect']:.1%} at layer {row['layer']}"

    windows = "; ".join(f"{part.value} {told(part, SUBJECT_LAST)}" for part in MEDIATORS)
    return (
        f"{trace.facts} facts, {trace.skipped} skipped because the model does not answer them. "
        f"p(answer) {trace.clean:.1%}, {trace.corrupted:.1%} with a corrupted subject. "
        f"Last subject token: hidden {told(Part.HIDDEN, SUBJECT_LAST)}; "
        f"windows of {trace.window}: {windows}. "
        f"Last token: attention {told(Part.ATTENTION, LAST)}. "
        "Where a fact shows is not where it is best edited: choose the layer by editing."
    )
