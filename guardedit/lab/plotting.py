"""The style that all pictures of the lab share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guardedit.plotting import load_pyplot

INK, GREY, GRID = "#1f2430", "#6b7280", "#e5e7eb"
BLUE, RED, GREEN, AMBER = "#2563eb", "#dc2626", "#15803d", "#d97706"
#: Half the width of a 95 % confidence band, in standard errors.
BAND = 1.96


@contextmanager
def styled_pyplot() -> Iterator[Any]:
    """`load_pyplot` with the common style; the figures must be made and saved inside."""
    pyplot = load_pyplot()
    style = {"font.size": 10, "axes.edgecolor": GREY, "text.color": INK, "axes.labelcolor": INK}
    with pyplot.rc_context(style):
        yield pyplot


def add_grid(axes: Any) -> None:
    """Horizontal grid lines behind the data, and no frame at the top and right."""
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
