"""Draws what methods reach at what cost: metrics over perplexity, a line through each method's prices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guardedit.core.errors import UsageError
from guardedit.lab.field.report import BASE, Label, Summaries
from guardedit.lab.field.summary import MetricValue
from guardedit.lab.plotting import AMBER, BLUE, GREEN, GREY, INK, RED, add_grid, styled_pyplot

#: The metrics that are drawn, as far as the data set has questions for them.
PANELS = ("PS", "ES", "NS", "generalization", "reliability", "locality")
_MOST_PANELS = 3
_COLOURS = (BLUE, RED, GREEN, AMBER, "#7c3aed", "#0891b2", "#db2777", "#65a30d")
_MARKERS = "osD^vPX<"


class Mark(NamedTuple):
    """A point that was measured elsewhere: perplexity ratio, and metrics by name."""

    name: str
    perplexity: float
    metrics: Mapping[str, float]


def read_marks(path: Path) -> list[Mark]:
    """The results in the JSON output of another evaluation, those with a perplexity.

    Raises:
        UsageError: the file cannot be read, or has no such result.
    """
    marks = []
    try:
        for way in json.loads(path.read_text(encoding="utf-8"))["ways"]:
            for metrics in way["metrics"].values():
                values = {name: one["value"] for name, one in metrics.items() if one["value"] is not None}
                if "perplexity" in values:
                    name = Label(str(way.get("through")), way.get("method") or "", way.get("price") or 1.0)
                    marks.append(Mark(str(name), values["perplexity"], values))
                break  # the first group of cases
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not the JSON output of `guardedit evaluate`: {error!r}") from error
    if not marks:
        raise UsageError(f"{path} has no result with a perplexity: draw those of edited weights")
    return marks


def curves_of(shown: Summaries) -> dict[Label, list[Mapping[str, MetricValue]]]:
    """Label at price 1 -> the metrics at each price, of the first group of cases, if with a perplexity."""
    group = next(iter(shown))[0]
    curves: dict[Label, list[Mapping[str, MetricValue]]] = {}
    for (cases, label), metrics in shown.items():
        if cases == group and label != BASE and "perplexity" in metrics:
            curves.setdefault(label._replace(price=1.0), []).append(metrics)
    return curves


def draw_frontier(path: Path, shown: Summaries, *, marks: Sequence[Mark] = (), title: str) -> None:
    """Write a PNG, whatever the suffix of `path`.

    Args:
        path: of the picture.
        shown: the metrics; the first group of cases is drawn, and only results with a perplexity.
        marks: points of other tools.
        title: above the panels.
    """
    group = next(iter(shown))[0]
    curves = curves_of(shown)
    panels = [name for name in PANELS if any(one[name].cases for row in curves.values() for one in row)]
    panels = panels[:_MOST_PANELS]
    with styled_pyplot() as pyplot:
        figure, grid = pyplot.subplots(
            1,
            max(1, len(panels)),
            figsize=(5.2 * max(1, len(panels)), 4.4),
            layout="constrained",
            squeeze=False,
        )
        for axes, name in zip(grid[0], panels, strict=False):
            _draw(axes, name, curves, marks, base=shown[group, BASE][name].value)
        handles, labels = grid[0][0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _draw(
    axes: Any,
    name: str,
    curves: Mapping[Label, Sequence[Mapping[str, MetricValue]]],
    marks: Sequence[Mark],
    *,
    base: float,
) -> None:
    for n, (label, points) in enumerate(curves.items()):
        row = sorted(points, key=lambda one: one["perplexity"].value)
        axes.plot(
            [one["perplexity"].value for one in row],
            [one[name].value for one in row],
            color=_COLOURS[n % len(_COLOURS)],
            marker=_MARKERS[n % len(_MARKERS)],
            ms=5,
            lw=1.6,
            label=str(label),
            clip_on=False,
        )
    for mark in marks:
        if name in mark.metrics:
            axes.plot(
                mark.perplexity, mark.metrics[name], color=INK, marker="*", ms=11, ls="", label=mark.name
            )
    axes.axhline(base, color=GREY, lw=0.9, ls=":")
    axes.annotate(
        "base model",
        (1, base),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8.5,
        color=GREY,
    )
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(name, loc="left", fontsize=11, pad=8)
    axes.set_xlabel("perplexity over the base model's")
    add_grid(axes)
