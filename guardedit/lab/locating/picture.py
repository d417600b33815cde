"""The picture of a trace: a heat map for each part, and what severing MLPs or attention takes away.

Knows averages; runs no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST, TOKENS, Array, Average
from guardedit.lab.locating.restore import Part
from guardedit.lab.locating.trace import Trace

_INK, _QUIET, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_BLUE, _RED, _GREEN = "#2563eb", "#dc2626", "#15803d"
_COLOURS = {Part.HIDDEN: _BLUE, Part.MLP: _GREEN, Part.ATTENTION: _RED}
#: A model with more layers gets no numbers in its cells: they would not fit.
_NUMBERED = 12
#: Half the width of a 95 % confidence band, in standard errors.
_BAND = 1.96


def draw_trace(path: Path, trace: Trace, *, model: str) -> None:
    """Write a PNG, whatever the name of the file.

    Cells and lines are average indirect effects in percent of probability. A heat map's colours begin at
    zero: what harms is as pale as what does nothing. Each has its own scale, or windows of attention would
    be invisible beside hidden states.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    style: Any = {"font.size": 10, "axes.edgecolor": _QUIET, "text.color": _INK, "axes.labelcolor": _INK}
    with plt.rc_context(style):
        figure = plt.figure(figsize=(15.5, 7.4), layout="constrained")
        grid = figure.add_gridspec(2, 3, height_ratios=(1.25, 1))
        for column, part in enumerate(Part):
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
        plt.close(figure)


def _heat_map(figure: Any, axes: Any, trace: Trace, part: Part) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    percent = 100 * trace.effects[part].mean  # [kinds of tokens, layers]
    top = max(float(np.nanmax(percent)), 0.1)
    colours = LinearSegmentedColormap.from_list(part.value, ["#ffffff", _COLOURS[part]])
    image = axes.imshow(percent, cmap=colours, vmin=0.0, vmax=top, aspect="auto")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    if part is Part.ATTENTION:  # the rightmost: one label serves all three
        bar.set_label("average indirect effect, %")
    axes.set_facecolor(_GRID)  # shows where no fact has such a token
    axes.set_yticks(range(len(TOKENS)), TOKENS)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(length=0)
    axes.set_title(_title(part, trace), loc="left", fontsize=11)
    axes.set_xlabel("layer" if part is Part.HIDDEN else "layer in the middle of the window")
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
                color="white" if value > 0.6 * top else _INK,
            )


def _title(part: Part, trace: Trace) -> str:
    if part is Part.HIDDEN:
        return "Restoring one hidden state"
    what = "MLP output" if part is Part.MLP else "attention output"
    return f"Restoring one {what}" if trace.window == 1 else f"Restoring {trace.window} {what}s"


def _severed(axes: Any, trace: Trace) -> None:
    whole = trace.effects[Part.HIDDEN]
    at_subject = Average(whole.mean[SUBJECT_LAST], whole.error[SUBJECT_LAST], whole.facts[SUBJECT_LAST])
    lines = (
        (at_subject, _BLUE, "-", "o", "hidden state restored"),
        (trace.severed[Part.ATTENTION], _RED, "--", "s", "and later attention held corrupted"),
        (trace.severed[Part.MLP], _GREEN, "--", "D", "and later MLPs held corrupted"),
    )
    layers = np.arange(trace.layers)
    for found, colour, dash, mark, label in lines:
        mean, band = 100 * found.mean, 100 * _BAND * found.error
        axes.plot(layers, mean, color=colour, ls=dash, lw=1.8, marker=mark, ms=5, label=label, zorder=3)
        axes.fill_between(layers, mean - band, mean + band, color=colour, alpha=0.1, lw=0)
    axes.axhline(0.0, color=_QUIET, lw=1)
    axes.set_title(
        "Last subject token: what the restored state still brings when a path behind it is severed "
        "(band: 95 % confidence of the mean)",
        loc="left",
        fontsize=11,
    )
    axes.set_xlabel("layer of the restored hidden state")
    axes.set_ylabel("average indirect effect, %")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right", fontsize=9, frameon=False)
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
