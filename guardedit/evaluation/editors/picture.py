"""The picture of a comparison: four curves over the number of edits, one line a method.

Knows points; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guardedit.evaluation.editors.compare import Measured
from guardedit.evaluation.editors.measure import Measure
from guardedit.evaluation.editors.sequence import Point

_INK, _QUIET, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_COLOURS = (
    "#2563eb", "#dc2626", "#15803d", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#65a30d", "#92400e",
)  # fmt: skip
_MARKS = "osD^vPX<>"
_DASHES = ("-", "--", ":")
#: Perplexity ratios beyond are drawn at the edge: a ruined model is ruined.
_TOP = 10.0

#: Title, value, and whether it is a ratio, drawn without an upper bound of one.
_PANELS: tuple[tuple[str, Callable[[Point], float], bool], ...] = (
    (
        "Efficacy: the edits' own prompts, all edits so far",
        lambda p: p.counts.share(Measure.RELIABILITY),
        False,
    ),
    ("Retention: the first edits, asked again", lambda p: p.retention, False),
    ("Locality: subjects that were never edited", lambda p: p.counts.share(Measure.LOCALITY), False),
    ("Perplexity over the base model's", lambda p: p.perplexity_ratio, True),
)


def draw_comparison(path: Path, found: Sequence[Measured], *, title: str) -> None:
    """Write a PNG, whatever the name of the file. Methods without a point are left out."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    style: Any = {"font.size": 10, "axes.edgecolor": _QUIET, "text.color": _INK, "axes.labelcolor": _INK}
    with plt.rc_context(style):
        figure, grid = plt.subplots(2, 2, figsize=(14, 8.2), layout="constrained", sharex=True)
        for axes, (name, value, ratio) in zip(grid.flat, _PANELS, strict=True):
            _panel(axes, found, name, value, ratio=ratio)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.savefig(path, dpi=130, format="png")
        plt.close(figure)


def _panel(
    axes: Any, found: Sequence[Measured], title: str, value: Callable[[Point], float], *, ratio: bool
) -> None:
    counts = sorted({point.edits for one in found for point in one.points})
    top = _top(found, value) if ratio else 1.0
    for n, one in enumerate(found):
        if one.points:
            axes.plot(
                [point.edits for point in one.points],
                [_inside(value(point), top) for point in one.points],
                color=_COLOURS[n % len(_COLOURS)],
                marker=_MARKS[n % len(_MARKS)],
                ls=_DASHES[n // len(_COLOURS) % len(_DASHES)],
                ms=4.5,
                lw=1.7,
                label=one.name,
                clip_on=False,
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    if ratio:
        axes.axhline(1.0, color=_QUIET, lw=1)
        axes.set_ylim(0.99, top)
    else:
        axes.set_ylim(0.0, 1.0)
    axes.set_title(title, loc="left", fontsize=11)
    if axes.get_subplotspec().is_last_row():
        axes.set_xlabel("edits")
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _top(found: Sequence[Measured], value: Callable[[Point], float]) -> float:
    numbers = [value(point) for one in found for point in one.points]
    return min(_TOP, max([1.05, *(x for x in numbers if math.isfinite(x))]) * 1.02)


def _inside(value: float, top: float) -> float:
    """Beyond the edge, the edge; NaN leaves a gap."""
    return min(value, top)
