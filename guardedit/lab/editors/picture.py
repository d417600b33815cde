"""Draws a comparison: six panels over the number of edits, with one line per method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guardedit.lab.editors.compare import MethodResult
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import SequencePoint
from guardedit.lab.plotting import add_grid, styled_pyplot

_COLOURS = (
    "#2563eb", "#dc2626", "#15803d", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#65a30d", "#92400e",
)  # fmt: skip
_MARKERS = "osD^vPX<>"
_LINE_STYLES = ("-", "--", ":")
#: Percent at the edges of the perplexity panel: smaller values look alike, larger ones mean a ruined model.
_LEAST, _MOST = 0.1, 1000.0


class _Panel(NamedTuple):
    """One panel: its title and the value that it shows of each point."""

    title: str
    value: Callable[[SequencePoint], float]
    percent: bool = False  # True: percent above the base model, logarithmic; False: a share


_PANELS = (
    _Panel("Efficacy: the edits' own prompts", lambda p: p.counts.share(Measure.RELIABILITY)),
    _Panel("Wordings not used in the edit", lambda p: p.counts.share(Measure.GENERALIZATION)),
    _Panel("Retention: the first edits, asked again", lambda p: p.retention),
    _Panel("Locality: subjects never edited", lambda p: p.counts.share(Measure.LOCALITY)),
    _Panel("Same subject: its other facts", lambda p: p.counts.share(Measure.SAME_SUBJECT)),
    _Panel("Perplexity above the base model's, %", lambda p: 100 * (p.perplexity_ratio - 1), percent=True),
)


def draw_comparison(path: Path, results: Sequence[MethodResult], *, title: str) -> None:
    """Write a PNG, whatever the suffix of `path`. Methods without points are left out."""
    with styled_pyplot() as pyplot:
        figure, grid = pyplot.subplots(2, 3, figsize=(16.5, 8.2), layout="constrained", sharex=True)
        for axes, panel in zip(grid.flat, _PANELS, strict=True):
            _draw(axes, results, panel)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _draw(axes: Any, results: Sequence[MethodResult], panel: _Panel) -> None:
    for n, result in enumerate(results):
        if result.points:
            axes.plot(
                [point.edits for point in result.points],
                [_clipped(panel.value(point), percent=panel.percent) for point in result.points],
                color=_COLOURS[n % len(_COLOURS)],
                marker=_MARKERS[n % len(_MARKERS)],
                ls=_LINE_STYLES[n // len(_COLOURS) % len(_LINE_STYLES)],
                ms=4.5,
                lw=1.7,
                alpha=0.85,
                label=result.name,
                clip_on=False,
            )
    counts = sorted({point.edits for result in results for point in result.points})
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
    add_grid(axes)


def _clipped(value: float, *, percent: bool) -> float:
    """A percentage beyond an edge is drawn at the edge. NaN leaves a gap."""
    return min(max(value, _LEAST), _MOST) if percent and not math.isnan(value) else value
