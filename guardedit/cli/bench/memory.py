"""`guardedit bench memory`: how the memory's costs grow with the number of its facts."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import LINE_S, Seed
from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_picture
from guardedit.cli.terminal.lists import numbers_in
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

#: Fewer facts show nothing.
LEAST_FACTS = 100


def memory(
    *,
    facts: Annotated[
        str,
        typer.Option(metavar="N,...", help="Numbers of facts, such as 1e3,1e4; one measurement for each."),
    ] = "1e3,1e4,1e5",
    encoded: Annotated[
        int,
        typer.Option(
            min=0, max=1_000_000, help="Most facts that the real encoder encodes; above: made-up vectors."
        ),
    ] = 1_000,
    questions: Annotated[
        int, typer.Option(min=64, max=100_000, help="Questions that name a subject, and that name none.")
    ] = 200,
    published: Annotated[
        int, typer.Option(min=1, max=10_000, help="Facts that are published one by one.")
    ] = 50,
    picture: Annotated[
        Path | None,
        typer.Option(help="Also draw the curves to this file.", metavar="FILE.png", show_default=False),
    ] = None,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure the memory alone: loading facts, finding them, and publishing one more.

    No model answers. Every fact has two wordings. Questions are asked one by one, half of them name a
    subject; and 64 at once. Above --encoded facts, a fast encoder makes up the vectors (`words` in the
    table): a sum of one random vector for each word, so that texts with common words are similar. The time
    of the real encoder is then measured on the questions alone.

    Times without the encoder, unless the name says so. publish: from an epoch in the ledger to a replica that
    answers with it; commit: the write to the ledger before, which waits for the disk. Above 100,000 facts no
    ledger is written. A million facts take about 10 minutes and 8 GB of memory.
    """
    sizes = numbers_in("--facts", facts, at_least=LEAST_FACTS)
    if not sizes:
        raise UsageError("--facts is empty: give the numbers of facts, as in 1e3,1e4")
    check_picture(picture)
    settings = settings_from()
    from guardedit.lab.memory_scale.measure import measure_memory
    from guardedit.memory.encoder import SentenceEncoder

    with progress("loading the encoder", every_s=LINE_S) as report:
        # Texts are not kept: the time of the encoder is what is measured.
        real = SentenceEncoder.load(settings.encoder or None, cache_rows=1)
        found = [
            measure_memory(
                size, real, encoded=encoded, questions=questions, published=published, seed=seed, tell=report
            )
            for size in sizes
        ]
    if output is Output.JSON:
        show.record({"sizes": [asdict(one) for one in found]}, output)
    else:
        # One column for each size: there are too many numbers for a line.
        columns = {f"{one.facts:,}": asdict(one) for one in found}
        names = [name for name in asdict(found[0]) if name != "facts"]
        rows = [
            {"facts": name, **{size: _shown(column[name]) for size, column in columns.items()}}
            for name in names
        ]
        show.rows(rows, list(rows[0]), output, empty="")
    if picture is not None:
        from guardedit.lab.memory_scale.picture import draw_memory

        draw_memory(picture, found)


def _shown(value: Any) -> Any:
    """Three digits that count; `-` for what was not measured."""
    if not isinstance(value, float):
        return value
    return "-" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
