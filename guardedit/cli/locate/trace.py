"""`guardedit locate trace`: shows by causal tracing where a model stores facts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_picture
from guardedit.cli.terminal.options import MOST_SEED, Format, Model, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def trace(
    *,
    model: Model = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Facts to trace: JSON Lines with prompt, subject and answer. Default: the known questions "
            "of the model's probe set.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Most facts to trace.")] = 50,
    seed: Annotated[
        int,
        typer.Option(min=0, max=MOST_SEED, help="Random seed, for the choice of facts and for the noise."),
    ] = 0,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of neighbouring MLPs, or attentions, restored together. Default: 10, or half the "
            "layers of a small model.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=10, help="Most rows in one forward pass; fewer need less memory.")
    ] = 160,
    picture: Annotated[
        Path | None,
        typer.Option(help="Also draw heat maps to this file.", metavar="FILE.png", show_default=False),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Trace where a model stores facts.

    Causal tracing (Meng et al. 2022): noise is added to the subject of a prompt, a state of the run without
    noise is restored, and the probability of the answer's first token is measured. The more of it comes back,
    the greater the effect of that state.

    Prints the average effect by part (hidden state, window of MLPs, window of attentions), kind of token and
    layer. The severed variant restores the hidden state at the subject's last token while later MLPs, or
    attentions, keep their corrupted values. Facts that the model does not answer are skipped and counted.

    The result explains the model. It does not predict which layer to edit: use `locate sweep` for that.
    """
    settings = settings_from(model=model)
    from guardedit import assembly
    from guardedit.lab.choosing import model_name, statements_to_trace
    from guardedit.lab.locating.report import numbers, peaks, summary
    from guardedit.lab.locating.trace import TraceSettings
    from guardedit.lab.locating.trace import trace as trace_statements

    statements = statements_to_trace(settings, facts)
    check_picture(picture)
    wanted = TraceSettings(count=count, seed=seed, window=window, rows=rows)
    started = time.perf_counter()
    with progress("loading the model") as report:
        host = assembly.load_host(settings)
        found = trace_statements(
            host, statements, wanted, tell=lambda done, total: report("tracing", done, total)
        )
    if picture is not None:
        from guardedit.lab.locating.picture import draw_trace

        draw_trace(picture, found, model=model_name(settings))
    if output is Output.JSON:
        fields = {
            "base_sha256": host.base_sha256,
            "seed": seed,
            **numbers(found),
            "picture": picture,
            "seconds": time.perf_counter() - started,
        }
        show.record(fields, output)
        return
    table = [
        {**row, "effect": round(row["effect"], 4) + 0.0, "share": round(row["share"], 4) + 0.0}
        for row in peaks(found)
    ]
    show.rows(table, list(table[0]), output, empty="")
    show.line({}, output, summary(found) + (f" Picture: {picture}" if picture else ""))
