"""Draws a trace: a heat map for each part, and the effects with MLPs or attention severed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, TOKENS, Array, Average
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.trace import Trace
from guardedit.lab.plotting import BAND, BLUE, GREEN, GREY, GRID, INK, RED, add_grid, styled_pyplot

_COLOURS = {TracedPart.HIDDEN: BLUE, TracedPart.MLP: GREEN, TracedPart.ATTENTION: RED}
#: Models with more layers have no numbers in the cells: they would not fit.
_NUMBERED = 12


def draw_trace(path: Path, trace: Trace, *, model: str) -> None:
    """Write a PNG, whatever the suffix of `path`.

    Cells and lines are average indirect effects in percent of probability. The colours of a heat map start at
    zero, so negative effects are as pale as no effect. Each map has its own scale, because the effects of
    attention windows would be invisible on the scale of hidden states.
    """
    with styled_pyplot() as pyplot:
        figure = pyplot.figure(figsize=(15.5, 7.4), layout="constrained")
        grid = figure.add_gridspec(2, 3, height_ratios=(1.25, 1))
        for column, part in enumerate(TracedPart):
            axes = figure.add_subplot(grid[0, column])
            _heat_map(figure, axes, trace, part)
            axes.tick_params(labelleft=column == 0)
        _severed(figure.add_subplot(grid[1, :]), trace)
        figure.suptitle(
            f"Causal tracing of {trace.facts} facts in {model}: the answer's probability is "
            f"{trace.clean:.1%}, with a corrupted subject {trace.corrupted:.1%}",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _heat_map(figure: Any, axes: Any, trace: Trace, part: TracedPart) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    percent = 100 * trace.effects[part].mean  # [kinds of tokens, layers]
    top = max(float(np.nanmax(percent)), 0.1)
    colours = LinearSegmentedColormap.from_list(part.value, ["#ffffff", _COLOURS[part]])
    image = axes.imshow(percent, cmap=colours, vmin=0.0, vmax=top, aspect="auto")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    if part is TracedPart.ATTENTION:  # the rightmost map: one label serves all three
        bar.set_label("average indirect effect, %")
    axes.set_facecolor(GRID)  # visible where no fact has such a token
    axes.set_yticks(range(len(TOKENS)), TOKENS)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(length=0)
    axes.set_title(_title(part, trace), loc="left", fontsize=11)
    axes.set_xlabel("layer" if part is TracedPart.HIDDEN else "layer in the middle of the window")
    for side in axes.spines.values():
        side.set_visible(False)
    if trace.layers <= _NUMBERED:
        _numbers(axes, percent, top)


def _numbers(axes: Any, percent: Array, top: float) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if not np.isnan(value):
            axes.text(
                column,
                row,
                f"{value + 0.0:.1f}".replace("-0.0", "0.0"),
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if value > 0.6 * top else INK,
            )


def _title(part: TracedPart, trace: Trace) -> str:
    if part is TracedPart.HIDDEN:
        return "Restoring one hidden state"
    what = "MLP output" if part is TracedPart.MLP else "attention output"
    return f"Restoring one {what}" if trace.window == 1 else f"Restoring {trace.window} {what}s"


def _severed(axes: Any, trace: Trace) -> None:
    whole = trace.effects[TracedPart.HIDDEN]
    at_subject = Average(whole.mean[SUBJECT_LAST], whole.error[SUBJECT_LAST], whole.facts[SUBJECT_LAST])
    lines = (
        (at_subject, BLUE, "-", "o", "hidden state restored"),
        (trace.severed[TracedPart.ATTENTION], RED, "--", "s", "and later attention held corrupted"),
        (trace.severed[TracedPart.MLP], GREEN, "--", "D", "and later MLPs held corrupted"),
    )
    layers = np.arange(trace.layers)
    for found, colour, line_style, marker, label in lines:
        mean, band = 100 * found.mean, 100 * BAND * found.error
        axes.plot(
            layers, mean, color=colour, ls=line_style, lw=1.8, marker=marker, ms=5, label=label, zorder=3
        )
        axes.fill_between(layers, mean - band, mean + band, color=colour, alpha=0.1, lw=0)
    axes.axhline(0.0, color=GREY, lw=1)
    axes.set_title(
        "Last subject token: effect of the restored state when a later path is severed "
        "(band: 95 % confidence of the mean)",
        loc="left",
        fontsize=11,
    )
    axes.set_xlabel("layer of the restored hidden state")
    axes.set_ylabel("average indirect effect, %")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right", fontsize=9, frameon=False)
    add_grid(axes)
