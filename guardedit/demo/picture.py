"""Draws a run: perplexity and verdicts over epochs, facts by placement, and the unguarded runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guardedit.demo.timeline import TimelinePoint
from guardedit.plotting import load_pyplot

_INK, _GREY, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_BLUE, _RED, _GREEN, _AMBER = "#2563eb", "#dc2626", "#15803d", "#d97706"


def draw(
    path: Path,
    points: Sequence[TimelinePoint],
    *,
    title: str,
    limits: Mapping[str, float],
    unguarded: Mapping[str, Sequence[tuple[int, float]]] | None = None,
) -> None:
    """Write a PNG.

    Args:
        path: path of the picture.
        points: points of the ledger, see `timeline`.
        title: title of the picture.
        limits: name -> perplexity ratio, drawn as lines.
        unguarded: name -> (lines submitted, perplexity ratio). The panel is left out without any.

    Raises:
        UsageError: when matplotlib is not installed.
    """
    pyplot = load_pyplot()
    style: Any = {"font.size": 10, "axes.edgecolor": _GREY, "text.color": _INK, "axes.labelcolor": _INK}
    with pyplot.rc_context(style):
        wide = bool(unguarded)
        figure = pyplot.figure(figsize=(14 if wide else 9.5, 6.6), layout="constrained")
        grid = figure.add_gridspec(
            2, 2 if wide else 1, height_ratios=(3, 1.5), width_ratios=[2, 1][: 1 + wide]
        )
        above = figure.add_subplot(grid[0, 0])
        _ratios(above, points, limits)
        _placements(figure.add_subplot(grid[1, 0], sharex=above), points)
        if wide:
            _unguarded(figure.add_subplot(grid[:, 1]), unguarded or {})
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.savefig(path, dpi=130)
        pyplot.close(figure)


def _ratios(axes: Any, points: Sequence[TimelinePoint], limits: Mapping[str, float]) -> None:
    epochs = [point for point in points if point.kind != "trial"]
    top = _top(points, limits)
    axes.step([p.at for p in epochs], [p.ratio for p in epochs], where="post", color=_BLUE, lw=1.6, zorder=3)
    for name, limit in limits.items():
        axes.axhline(limit, color=_RED, lw=1, ls=(0, (5, 3)), zorder=2)
        axes.annotate(
            f"{name} {limit:g}",
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=_RED,
            fontsize=9,
        )
    marks = (
        ("accepted", "o", _GREEN, "accepted, served from here on"),
        ("rejected", "x", _RED, "rejected by the guard, never served"),
        ("rolled_back", "D", _AMBER, "rolled back, undone or redone"),
    )
    for mark, shape, colour, label in marks:
        chosen = [p for p in points if p.mark == mark and not _beyond(p, top)]
        axes.scatter(
            [p.at for p in chosen],
            [p.ratio for p in chosen],
            marker=shape,
            s=34,
            color=colour,
            label=f"{label} ({sum(p.mark == mark for p in points)})",
            zorder=4,
            linewidths=1.5,
        )
    far = [p for p in points if p.mark == "rejected" and _beyond(p, top)]
    if far:
        axes.scatter(
            [p.at for p in far],
            [top] * len(far),
            marker="^",
            s=46,
            color=_RED,
            zorder=4,
            clip_on=False,
            label=f"rejected far above this panel, or before any measurement ({len(far)})",
        )
    axes.set_ylim(_bottom(epochs), top)
    axes.set_ylabel("perplexity over the base model's")
    axes.set_title(
        "Epochs that were served, and trials that the guard rejected", loc="left", fontsize=11, pad=12
    )
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    _add_grid(axes)
    axes.tick_params(labelbottom=False)


def _placements(axes: Any, points: Sequence[TimelinePoint]) -> None:
    epochs = [point for point in points if point.kind != "trial"]
    at, weights = [p.at for p in epochs], [p.weights for p in epochs]
    total = [p.weights + p.memory for p in epochs]
    axes.fill_between(at, weights, step="post", color=_BLUE, alpha=0.75, label="in the weights")
    axes.fill_between(at, weights, total, step="post", color=_BLUE, alpha=0.22, label="in memory")
    axes.set_ylabel("live facts")
    axes.set_xlabel("epoch")
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    axes.margins(x=0.01)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _add_grid(axes)


def _unguarded(axes: Any, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    finite = [ratio for curve in curves.values() for _, ratio in curve if math.isfinite(ratio)]
    top = max([*finite, 2.0]) * 1.5
    for (name, curve), colour in zip(curves.items(), (_RED, _AMBER), strict=False):
        at, ratios = zip(*[(0, 1.0), *curve], strict=True)
        axes.plot(
            at, [min(ratio, top) for ratio in ratios], color=colour, lw=1.6, marker="o", ms=3, label=name
        )
    axes.axhline(1.0, color=_GREY, lw=1)
    axes.set_yscale("log")
    axes.set_ylim(0.9, top)
    axes.set_xlabel("messages of the stream")
    axes.set_ylabel("perplexity over the base model's")
    axes.set_title("Without a guard, until the model is ruined", loc="left", fontsize=11)
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    _add_grid(axes)


def _add_grid(axes: Any) -> None:
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _beyond(point: TimelinePoint, top: float) -> bool:
    """Whether the point is above the panel; true for NaN."""
    return not point.ratio < top


def _top(points: Sequence[TimelinePoint], limits: Mapping[str, float]) -> float:
    """A little above the limits and all served ratios. Rejected trials may be far above."""
    served = [p.ratio for p in points if p.kind != "trial" and math.isfinite(p.ratio)]
    return float(max([*served, *limits.values(), 1.02]) ** 1.7)


def _bottom(epochs: Sequence[TimelinePoint]) -> float:
    return min([1.0, *(p.ratio for p in epochs if math.isfinite(p.ratio))]) * 0.995
