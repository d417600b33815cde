"""Draws a sweep: the tracing effect of each layer, above the results of editing there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.plotting import AMBER, BAND, BLUE, GREEN, GREY, INK, RED, add_grid, styled_pyplot
from guardedit.lab.sweep.report import agreement
from guardedit.lab.sweep.search import CandidateResult, SweepResult

_PALE, _WHITE = "#bfdbfe", "#ffffff"

#: Label, colour, marker and value of each curve over single layers.
_SHARES: tuple[tuple[str, str, str, Callable[[CandidateResult], float]], ...] = (
    ("efficacy, together", INK, "o", lambda t: t.score.together.efficacy),
    ("unseen wordings, together", AMBER, "s", lambda t: t.score.together.unseen),
    ("other subjects, together", GREEN, "^", lambda t: t.score.together.other_subject),
)


def draw_sweep(path: Path, result: SweepResult, trace: LayerEffects | None, *, title: str) -> None:
    """Write a PNG, whatever the suffix of `path`. Without a trace its panel says "not traced"."""
    layers = sorted({layer for one in result.places for layer in one.place.layers})
    with styled_pyplot() as pyplot:
        figure, (above, below) = pyplot.subplots(
            2, 1, figsize=(max(9.0, 0.45 * len(layers) + 4), 7.6), layout="constrained", sharex=True
        )
        _trace(above, trace, layers)
        _places(below, result)
        below.set_xticks(layers)
        below.set_xlabel("layer")
        for axes in (above, below):
            add_grid(axes)
        correlation = agreement(result, trace)
        shown = "undefined" if math.isnan(correlation) else f"{correlation:+.2f}"
        figure.suptitle(
            f"{title}\nRank correlation of tracing effect and merit over single layers: {shown}",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
        )
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _trace(axes: Any, trace: LayerEffects | None, layers: list[int]) -> None:
    axes.set_ylabel("effect on p(answer), %")
    title = "Tracing: MLPs restored at the subject's last token"
    if trace is None:
        axes.set_title(title, loc="left", fontsize=11)
        axes.text(0.5, 0.5, "not traced", ha="center", va="center", color=GREY, transform=axes.transAxes)
        return
    axes.set_title(
        f"{title} ({trace.facts} facts, windows of {trace.window}, 95 % bands)", loc="left", fontsize=11
    )
    axes.bar(
        layers,
        [100 * trace.mean[layer] for layer in layers],
        yerr=[100 * BAND * trace.error[layer] for layer in layers],
        color=_PALE,
        edgecolor=BLUE,
        ecolor=GREY,
        capsize=3,
        width=0.6,
    )


def _places(axes: Any, result: SweepResult) -> None:
    """Merit as bars for single layers and as lines for windows; shares as curves over single layers."""
    single = [one for one in result.places if one.place.alone]
    layers = [one.place.layer for one in single]
    values = [one.merit.value for one in single]
    usable = [one.merit.usable for one in single]
    axes.bar(
        layers,
        values,
        color=[_PALE if good else _WHITE for good in usable],
        edgecolor=BLUE,
        hatch=["" if good else "//" for good in usable],
        width=0.6,
    )
    for name, colour, marker, value in _SHARES:
        axes.plot(
            layers, [value(one) for one in single], color=colour, marker=marker, ms=4.5, lw=1.2, label=name
        )
    windows = [one for one in result.places if not one.place.alone]
    for one in windows:
        ends, style = (one.place.layers[0], one.place.layers[-1]), "-" if one.merit.usable else ":"
        axes.plot(ends, [one.merit.value] * 2, color=RED, ls=style, marker="|", lw=2.2)
    least = min((one.merit.value for one in result.places if not math.isnan(one.merit.value)), default=0.0)
    axes.set_ylim(max(-1.0, min(0.0, least)), 1.05)
    axes.set_title(
        f"Editing: results of the same facts at each layer; best: {result.best.place}",
        loc="left",
        fontsize=11,
    )
    axes.set_ylabel("share, or merit")
    _legend(axes, windows=bool(windows))


def _legend(axes: Any, *, windows: bool) -> None:
    """Add a legend of bars and lines, including kinds that do not occur in this sweep."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shares, _ = axes.get_legend_handles_labels()
    merits: list[Any] = [
        Patch(facecolor=_PALE, edgecolor=BLUE, label="merit of a layer"),
        Patch(facecolor=_WHITE, edgecolor=BLUE, hatch="//", label="the same, single edits not usable"),
    ]
    if windows:
        merits.append(
            Line2D([], [], color=RED, marker="|", lw=2.2, label="merit of a window (dotted: as hatched)")
        )
    handles = [*shares, *merits]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9
    )
