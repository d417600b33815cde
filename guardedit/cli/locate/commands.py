"""`guardedit locate`: where a model keeps its facts, and where it is best edited."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.locate.sweep import sweep
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    MOST_SEED,
    Format,
    Model,
    check_picture,
    commands,
    examples,
    settings_from,
)
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.lab.locating.statements import Statement

app = commands("Where a model keeps its facts, and where it is best edited: trace, sweep.")
app.command(
    epilog=examples(
        "guardedit locate sweep --picture sweep.png",
        "guardedit locate sweep --model ~/models/gpt2-xl --facts facts.jsonl --layers 10,11,12,13,14",
    )
)(sweep)


@app.command(
    "trace",
    epilog=examples(
        "guardedit locate trace --count 100 --picture trace.png",
        "guardedit locate trace --model ~/models/gpt2-xl --facts known.jsonl --output json",
    ),
)
def trace_(
    *,
    model: Model = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines with prompt, subject, answer; else the probe set's known questions.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Most facts to trace.")] = 50,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Of the sample of facts and of the noise.")
    ] = 0,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="MLPs or attentions restored together; else 10, or half the layers of a small model.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=10, help="Most rows in a forward pass; fewer need less memory.")
    ] = 160,
    picture: Annotated[
        Path | None, typer.Option(help="Heat maps as PNG.", metavar="FILE.png", show_default=False)
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Causal tracing: restore single states of a run whose subject is noise, and see what answers again.

    Averages over known facts how much probability of the answer's first token comes back, by part (hidden
    state, window of MLPs, window of attentions), kind of token and layer. The severed variant restores the
    hidden state at the subject's last token while later MLPs, or attentions, stay corrupted. Facts that
    the model does not answer are skipped and counted.

    A picture of how the model works, not of where to edit it.
    """
    settings = settings_from(model=model)
    statements = _statements(settings, facts)  # before anything slow
    check_picture(picture)
    from guardedit import assembly
    from guardedit.lab.locating.report import numbers, peaks, summary
    from guardedit.lab.locating.trace import TraceSettings, trace

    started = time.perf_counter()
    host = assembly.load_host(settings)
    dials = TraceSettings(count=count, seed=seed, window=window, rows=rows)
    with _bar("tracing") as tell:
        found = trace(host, statements, dials, tell=tell)
    if picture is not None:
        from guardedit.lab.locating.picture import draw_trace

        name = Path(settings.model).name if settings.model else "the demo model"
        draw_trace(picture, found, model=name)
    if output is Output.JSON:
        said = {
            "base_sha256": host.base_sha256,
            "seed": seed,
            **numbers(found),
            "picture": picture,
            "seconds": time.perf_counter() - started,
        }
        show.record(said, output)
    else:
        table = [
            {**row, "effect": round(row["effect"], 4) + 0.0, "share": round(row["share"], 4) + 0.0}
            for row in peaks(found)
        ]
        show.rows(table, list(table[0]), output, empty="")
        show.line({}, output, summary(found) + (f" Picture: {picture}" if picture else ""))


def _statements(settings: Settings, facts: Path | None) -> tuple[Statement, ...]:
    from guardedit.lab.locating.statements import Statement, read_statements

    if facts is not None:
        return read_statements(facts)
    from guardedit import assembly

    try:
        known = assembly.load_probes(settings).questions
    except UsageError as error:
        raise UsageError(f"{error}; or give --facts FILE") from error
    return tuple(Statement(prompt=q.prompt, subject=q.subject, answer=q.answer) for q in known)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere. On stderr: stdout is for the result."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
