"""The picture of a comparison: six curves over the number of edits, one line a method.

Knows points; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guardedit.lab.editors.compare import Measured
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import Point

_INK, _QUIET, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_COLOURS = (
    "#2563eb", "#dc2626", "#15803d", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#65a30d", "#92400e",
)  # fmt: skip
_MARKS = "osD^vPX<>"
_DASHES = ("-", "--", ":")
#: Percent of perplexity at the edges of the panel: less cannot be told apart, more is a ruined model.
_LEAST, _MOST = 0.1, 1000.0


class _Panel(NamedTuple):
    """One curve a method."""

    title: str
    value: Callable[[Point], float]
    percent: bool = False  # above the base model's, on a logarithmic axis; else a share


_PANELS = (
    _Panel("Efficacy: the edits' own prompts", lambda p: p.counts.share(Measure.RELIABILITY)),
    _Panel("Wordings not used in the edit", lambda p: p.counts.share(Measure.GENERALIZATION)),
    _Panel("Retention: the first edits, asked again", lambda p: p.retention),
    _Panel("Locality: subjects never edited", lambda p: p.counts.share(Measure.LOCALITY)),
    _Panel("Same subject: its other facts", lambda p: p.counts.share(Measure.SAME_SUBJECT)),
    _Panel("Perplexity above the base model's, %", lambda p: 100 * (p.perplexity_ratio - 1), percent=True),
)


def draw_comparison(path: Path, found: Sequence[Measured], *, title: str) -> None:
    """Write a PNG, whatever the name of the file. Methods without a point are left out."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    style: Any = {"font.size": 10, "axes.edgecolor": _QUIET, "text.color": _INK, "axes.labelcolor": _INK}
    with plt.rc_context(style):
        figure, grid = plt.subplots(2, 3, figsize=(16.5, 8.2), layout="constrained", sharex=True)
        for axes, panel in zip(grid.flat, _PANELS, strict=True):
            _draw(axes, found, panel)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.savefig(path, dpi=130, format="png")
        plt.close(figure)


def _draw(axes: Any, found: Sequence[Measured], panel: _Panel) -> None:
    for n, one in enumerate(found):
        if one.points:
            axes.plot(
                [point.edits for point in one.points],
                [_inside(panel.value(point), percent=panel.percent) for point in one.points],
                color=_COLOURS[n % len(_COLOURS)],
                marker=_MARKS[n % len(_MARKS)],
                ls=_DASHES[n // len(_COLOURS) % len(_DASHES)],
                ms=4.5,
                lw=1.7,
                alpha=0.85,
                label=one.name,
                clip_on=False,
            )
    counts = sorted({point.edits for one in found for point in one.points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    if panel.percent:
        axes.set_yscale("log")
        axes.set_ylim(_LEAST, _MOST)
        axes.set_yticks([0.1, 1, 10, 100, 1000], ["≤ 0.1", "1", "10", "100", "≥ 1,000"])
    else:
        axes.set_ylim(0.0, 1.0)
    axes.minorticks_off()
    axes.set_title(panel.title, loc="left", fontsize=11, pad=10)
    if axes.get_subplotspec().is_last_row():
        axes.set_xlabel("edits")
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _inside(value: float, *, percent: bool) -> float:
    """Percent beyond an edge are drawn at the edge; NaN leaves a gap."""
    return min(max(value, _LEAST), _MOST) if percent and not math.isnan(value) else value
