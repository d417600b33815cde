"""Draws how the memory's costs grow: six panels over the number of facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guardedit.lab.memory_scale.measure import MemoryAtSize
from guardedit.lab.plotting import AMBER, BLUE, GREEN, GREY, RED, add_grid, styled_pyplot


class _Curve(NamedTuple):
    label: str
    colour: str
    value: Callable[[MemoryAtSize], float]
    dashed: bool = False


class _Panel(NamedTuple):
    title: str
    curves: tuple[_Curve, ...]
    logarithmic: bool = True


_PANELS = (
    _Panel(
        "One question without the encoder, ms",
        (
            _Curve("names a subject, p50", BLUE, lambda m: m.named_p50_ms),
            _Curve("names a subject, p99", BLUE, lambda m: m.named_p99_ms, dashed=True),
            _Curve("names none, p50", RED, lambda m: m.unnamed_p50_ms),
            _Curve("names none, p99", RED, lambda m: m.unnamed_p99_ms, dashed=True),
        ),
    ),
    _Panel(
        "Questions a second, 64 at once",
        (
            _Curve("without the encoder", BLUE, lambda m: m.batched_per_s),
            _Curve("with the encoder", AMBER, lambda m: m.batched_with_encoder_per_s),
        ),
    ),
    _Panel(
        "One more fact, ms",
        (
            _Curve("written to the ledger, p50", GREY, lambda m: m.commit_p50_ms),
            _Curve("published, p50", GREEN, lambda m: m.publish_p50_ms),
            _Curve("published, p99", GREEN, lambda m: m.publish_p99_ms, dashed=True),
        ),
    ),
    _Panel(
        "All facts, seconds",
        (
            _Curve("loaded, in the encoder", AMBER, lambda m: m.ingest_encoder_s),
            _Curve("loaded, the rest", BLUE, lambda m: m.ingest_rest_s),
            _Curve("built again", GREEN, lambda m: m.rebuild_s, dashed=True),
        ),
    ),
    _Panel(
        "Memory of one fact, kB",
        (_Curve("resident", BLUE, lambda m: m.bytes_per_fact / 1e3),),
        logarithmic=False,
    ),
    _Panel(
        "Share of the 8 nearest keys found",
        (_Curve("", BLUE, lambda m: m.recall_at_8),),
        logarithmic=False,
    ),
)


def draw_memory(path: Path, found: Sequence[MemoryAtSize]) -> None:
    """Write a PNG, whatever the suffix of `path`. What was not measured leaves a gap."""
    with styled_pyplot() as pyplot:
        figure, grid = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained", sharex=True)
        for axes, panel in zip(grid.flat, _PANELS, strict=True):
            _draw(axes, panel, found)
        made_up = [f"{one.facts:,}" for one in found if one.encoder == "words"]
        note = f" Made-up vectors at {', '.join(made_up)}." if made_up else ""
        figure.suptitle(
            f"The memory over the number of its facts.{note}",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        figure.savefig(path, dpi=130, format="png")
        pyplot.close(figure)


def _draw(axes: Any, panel: _Panel, found: Sequence[MemoryAtSize]) -> None:
    sizes = [one.facts for one in found]
    for curve in panel.curves:
        axes.plot(
            sizes,
            [curve.value(one) for one in found],
            color=curve.colour,
            ls="--" if curve.dashed else "-",
            marker="o",
            ms=4.5,
            lw=1.7,
            label=curve.label,
            clip_on=False,
        )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    if panel.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(panel.title, loc="left", fontsize=11, pad=10)
    if any(curve.label for curve in panel.curves):
        axes.legend(frameon=False, fontsize=9)
    if axes.get_subplotspec().is_last_row():
        axes.set_xlabel("facts")
    add_grid(axes)
