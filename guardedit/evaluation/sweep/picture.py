"""The picture of a sweep: what tracing says of each layer above what editing there does.

Knows numbers; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardedit.evaluation.locating.last_token import LayerEffects
from guardedit.evaluation.sweep.report import agreement
from guardedit.evaluation.sweep.search import Search, Tried

_INK, _QUIET, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_GREEN, _BLUE, _AMBER, _PALE = "#15803d", "#2563eb", "#d97706", "#bfdbfe"
#: Half the width of a 95 % confidence band, in standard errors.
_BAND = 1.96

_SHARES: tuple[tuple[str, str, str, Callable[[Tried], float]], ...] = (
    ("efficacy, together", _INK, "o", lambda t: t.score.together.efficacy),
    ("unseen wordings, together", _AMBER, "s", lambda t: t.score.together.unseen),
    ("other subjects, together", _GREEN, "^", lambda t: t.score.together.other_subject),
)


def draw_sweep(path: Path, found: Search, trace: LayerEffects | None, *, title: str) -> None:
    """Write a PNG, whatever the name of the file. Without a trace its panel says so."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    style: Any = {"font.size": 10, "axes.edgecolor": _QUIET, "text.color": _INK, "axes.labelcolor": _INK}
    layers = sorted({layer for one in found.places for layer in one.place.layers})
    with plt.rc_context(style):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(max(8.5, 0.45 * len(layers) + 4), 7.6), layout="constrained", sharex=True
        )
        _trace(above, trace, layers)
        _places(below, found)
        below.set_xticks(layers)
        below.set_xlabel("layer")
        for axes in (above, below):
            axes.grid(axis="y", color=_GRID, lw=0.8)
            axes.set_axisbelow(True)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        agree = agreement(found, trace)
        told = "undefined" if math.isnan(agree) else f"{agree:+.2f}"
        figure.suptitle(
            f"{title}\nRank correlation of tracing effect and merit over single layers: {told}",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
        )
        figure.savefig(path, dpi=130, format="png")
        plt.close(figure)


def _trace(axes: Any, trace: LayerEffects | None, layers: list[int]) -> None:
    axes.set_title("Tracing: what MLPs around a layer bring back at the subject's last token", loc="left")
    axes.set_ylabel("effect on p(answer), %")
    if trace is None:
        axes.text(0.5, 0.5, "not traced", ha="center", va="center", color=_QUIET, transform=axes.transAxes)
        return
    axes.bar(
        layers,
        [100 * trace.mean[layer] for layer in layers],
        yerr=[100 * _BAND * trace.error[layer] for layer in layers],
        color=_PALE,
        edgecolor=_BLUE,
        ecolor=_QUIET,
        capsize=3,
        width=0.6,
    )
    axes.text(
        0.99,
        0.97,
        f"{trace.facts} facts, windows of {trace.window}, bars of error: 95 %",
        ha="right",
        va="top",
        color=_QUIET,
        fontsize=9,
        transform=axes.transAxes,
    )


def _places(axes: Any, found: Search) -> None:
    """Merit as bars at single layers and as lines over windows; shares as marks at single layers."""
    single = [one for one in found.places if one.place.alone]
    where = [one.place.layer for one in single]
    axes.bar(
        where,
        [one.merit.value for one in single],
        color=[_PALE if one.merit.usable else "#ffffff" for one in single],
        edgecolor=_BLUE,
        hatch=["" if one.merit.usable else "//" for one in single],
        width=0.6,
        label="merit (hatched: single edits not usable)",
    )
    for name, colour, mark, value in _SHARES:
        axes.plot(
            where, [value(one) for one in single], color=colour, marker=mark, ms=4.5, lw=1.2, label=name
        )
    windows = [one for one in found.places if not one.place.alone]
    for n, one in enumerate(windows):
        first, last = one.place.layers[0], one.place.layers[-1]
        axes.plot(
            [first, last],
            [one.merit.value] * 2,
            color="#dc2626",
            ls="-" if one.merit.usable else ":",
            marker="|",
            lw=2.2,
            label="merit of a window (dotted: not usable)" if n == 0 else None,
        )
    best = found.best.place
    axes.set_title(f"Editing: what the same facts do there; best: {best}", loc="left")
    axes.set_ylabel("share, or merit")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.42), ncols=3, frameon=False, fontsize=9)
