"""Converts a trace to JSON data, table rows and a summary."""

from __future__ import annotations

from typing import Any

from guardedit.lab.locating.effects import LAST, SUBJECT_LAST, TOKENS, peak
from guardedit.lab.locating.plan import MEDIATORS
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.trace import Trace


def numbers(trace: Trace) -> dict[str, Any]:
    """All measurements, ready for JSON.

    `indirect_effect` and `standard_error` have one number per layer for each part and kind of token,
    `severed` for each severed part. `facts_with` counts the facts with such a token.
    """
    hidden = trace.effects[TracedPart.HIDDEN]
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
    """One row per part and kind of token: the layer with the greatest effect, or None if undefined."""
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
    by_name = {(row["part"], row["token"]): row for row in peaks(trace)}

    def peak_text(part: TracedPart, token: int) -> str:
        row = by_name[part.value, TOKENS[token]]
        return f"{row['effect']:.1%} at layer {row['layer']}"

    windows = "; ".join(f"{part.value} {peak_text(part, SUBJECT_LAST)}" for part in MEDIATORS)
    return (
        f"{trace.facts} facts, {trace.skipped} skipped because the model does not answer them. "
        f"p(answer) {trace.clean:.1%}, {trace.corrupted:.1%} with a corrupted subject. "
        f"Largest effect at the last subject token: hidden {peak_text(TracedPart.HIDDEN, SUBJECT_LAST)}; "
        f"windows of {trace.window}: {windows}. "
        f"At the last token: attention {peak_text(TracedPart.ATTENTION, LAST)}. "
        "The layer with the largest effect is not the best layer to edit: "
        "choose that with `guardedit locate sweep`."
    )
