"""Draws the reliability diagram: how often a question with a score really is about the fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from guardedit.lab.plotting import BLUE, GREEN, GREY, INK, RED, add_grid, styled_pyplot
from guardedit.lab.scope.results import Share
from guardedit.lab.scope.stores import Found

#: Number of bins, of equal width.
BINS = 10
_COLOURS = (BLUE, RED, GREEN, INK)


class Bin(NamedTuple):
    """The questions whose scores are in [low, high); the last bin includes 1.

    `right` counts those that are about a fact of the store. Where the question got a fact, it must be that
    one; where it got none, which fact was scored is not known.
    """

    low: float
    high: float
    score: float  # mean score of its questions, NaN without any
    right: Share


def reliability(found: Sequence[Found]) -> list[Bin]:
    """The bins of what a scope test found."""
    edges = np.linspace(0, 1, BINS + 1)
    scores = np.array([one.recall.score for one in found])
    at = np.clip(np.digitize(np.nan_to_num(scores), edges) - 1, 0, BINS - 1)
    right = np.array([one.row.key is not None and not one.wrong for one in found], dtype=bool)
    return [
        Bin(
            float(edges[n]),
            float(edges[n + 1]),
            float(scores[at == n].mean()) if (at == n).any() else float("nan"),
            Share(int(right[at == n].sum()), int((at == n).sum())),
        )
        for n in range(BINS)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: mean distance of score and share right, weighted by the number of rows."""
    rows = sum(one.right.rows for one in bins)
    return sum(one.right.rows * abs(one.score - one.right.value) for one in bins if one.right.rows) / rows


def draw_reliability(path: Path, ways: Mapping[str, Sequence[Found]], *, title: str) -> None:
    """Write a PNG, whatever the suffix of `path`: share right over score, with numbers of rows below."""
    with styled_pyplot() as pyplot:
        figure, (above, below) = pyplot.subplots(
            2, 1, figsize=(7.2, 7.4), layout="constrained", sharex=True, height_ratios=(3, 1)
        )
        above.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1.2, label="calibrated")
        for number, (name, found) in enumerate(ways.items()):
            bins, colour = reliability(found), _COLOURS[number % len(_COLOURS)]
            _draw_shares(
                above, f"{name}, expected calibration error {calibration_error(bins):.3f}", bins, colour
            )
            width = 0.8 / BINS / len(ways)
            below.bar(
                [(one.low + one.high) / 2 + (number - (len(ways) - 1) / 2) * width for one in bins],
                [one.right.rows for one in bins],
                width=width,
                color=colour,
            )
        above.set_ylabel("share about the fact, 95 % intervals")
        above.set_ylim(-0.02, 1.02)
        above.legend(frameon=False, loc="upper left")
        below.set_ylabel("questions")
        below.set_yscale("log")
        below.set_ylim(bottom=1)
        below.set_xlabel("score")
        below.set_xlim(0, 1)
        for axes in (above, below):
            add_grid(axes)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _draw_shares(axes: Any, label: str, bins: Sequence[Bin], colour: str) -> None:
    full = [one for one in bins if one.right.rows]
    axes.errorbar(
        [one.score for one in full],
        [one.right.value for one in full],
        yerr=[
            [max(0.0, one.right.value - one.right.interval.low) for one in full],
            [max(0.0, one.right.interval.high - one.right.value) for one in full],
        ],
        color=colour,
        marker="o",
        ms=4.5,
        lw=1.5,
        capsize=2.5,
        label=label,
        clip_on=False,
    )
