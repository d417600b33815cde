"""The picture of a sweep: what tracing says of each layer above what editing there does.

Knows numbers; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.sweep.report import agreement
from guardedit.lab.sweep.search import Search, Tried

_INK, _QUIET, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_GREEN, _BLUE, _AMBER, _RED = "#15803d", "#2563eb", "#d97706", "#dc2626"
_PALE, _WHITE = "#bfdbfe", "#ffffff"
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
            2, 1, figsize=(max(9.0, 0.45 * len(layers) + 4), 7.6), layout="constrained", sharex=True
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
    axes.set_ylabel("effect on p(answer), %")
    what = "Tracing: MLPs restored at the subject's last token"
    if trace is None:
        axes.set_title(what, loc="left", fontsize=11)
        axes.text(0.5, 0.5, "not traced", ha="center", va="center", color=_QUIET, transform=axes.transAxes)
        return
    axes.set_title(
        f"{what} ({trace.facts} facts, windows of {trace.window}, 95 % bands)", loc="left", fontsize=11
    )
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


def _places(axes: Any, found: Search) -> None:
    """Merit as bars at single layers and as lines over windows; shares as marks at single layers."""
    single = [one for one in found.places if one.place.alone]
    where = [one.place.layer for one in single]
    values = [one.merit.value for one in single]
    usable = [one.merit.usable for one in single]
    axes.bar(
        where,
        values,
        color=[_PALE if good else _WHITE for good in usable],
        edgecolor=_BLUE,
        hatch=["" if good else "//" for good in usable],
        width=0.6,
    )
    for name, colour, mark, value in _SHARES:
        axes.plot(
            where, [value(one) for one in single], color=colour, marker=mark, ms=4.5, lw=1.2, label=name
        )
    windows = [one for one in found.places if not one.place.alone]
    for one in windows:
        ends, style = (one.place.layers[0], one.place.layers[-1]), "-" if one.merit.usable else ":"
        axes.plot(ends, [one.merit.value] * 2, color=_RED, ls=style, marker="|", lw=2.2)
    least = min((one.merit.value for one in found.places if not math.isnan(one.merit.value)), default=0.0)
    axes.set_ylim(max(-1.0, min(0.0, least)), 1.05)
    axes.set_title(f"Editing: how the same facts do there; best: {found.best.place}", loc="left", fontsize=11)
    axes.set_ylabel("share, or merit")
    _legend(axes, windows=bool(windows))


def _legend(axes: Any, *, windows: bool) -> None:
    """What bars and lines mean, whichever of them happen to be there."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shares, _ = axes.get_legend_handles_labels()
    merits: list[Any] = [
        Patch(facecolor=_PALE, edgecolor=_BLUE, label="merit of a layer"),
        Patch(facecolor=_WHITE, edgecolor=_BLUE, hatch="//", label="the same, single edits not usable"),
    ]
    if windows:
        merits.append(
            Line2D([], [], color=_RED, marker="|", lw=2.2, label="merit of a window (dotted: as hatched)")
        )
    handles = [*shares, *merits]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9
    )
