"""`guardedit demo`: run the whole system on a stream of corrections, and compare its results with limits."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.demo.screen import LiveScreen
from guardedit.cli.demo.tables import print_tables
from guardedit.cli.run import Runtime
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import MOST_SEED, Format, Model, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.demo.isolation import isolated
from guardedit.demo.run import DemoRun
from guardedit.settings import shipped_policy

#: With the embedded model, and with any other.
POLICIES = ("demo.yaml", "demo-real.yaml")
CORRECTIONS = (300, 120)


def demo(
    *,
    corrections: Annotated[
        int | None,
        typer.Option(
            min=40,
            help=f"Number of messages in the stream. Default: {CORRECTIONS[0]}, with another model "
            f"{CORRECTIONS[1]}.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Random seed; another seed gives another stream.")
    ] = 0,
    runtime: Annotated[
        Runtime, typer.Option(help="Run the parts as Ray actors, or all in this process.")
    ] = Runtime.RAY,
    report: Annotated[
        Path, typer.Option(help="File for the report; a picture with the same name is put next to it.")
    ] = Path("demo.json"),
    home: Annotated[
        Path | None,
        typer.Option(help="Folder for the ledger. Default: a temporary folder.", show_default=False),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Policy file. Default: the shipped demo.yaml, with another model demo-real.yaml.",
            show_default=False,
        ),
    ] = None,
    model: Model = None,
    output: Format = Output.TABLE,
    unguarded: Annotated[
        bool,
        typer.Option(
            "--unguarded/--no-unguarded",
            help="For comparison, also run the stream without the guard, with ROME as published, and with "
            "memory alone.",
        ),
    ] = True,
) -> None:
    """Run the whole system on a stream of corrections.

    Afterwards every question is asked, and the results are compared with limits. Some of the corrections
    would ruin the model if their edits were served. Meanwhile the coordinator is killed once, epochs are
    rolled back, and facts are undone and redone.

    With another model than the embedded one, the corrections change public facts that the model knows. An
    answer counts if it names the expected object in its first sentence.

    Exit code 1 if a result misses its limit.
    """
    from guardedit.demo.report import reached

    with ExitStack() as stack:
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guardedit-demo-")))
        settings = settings_from(folder, policy, model, runtime=runtime.value)
        other = bool(settings.model)
        if policy is None:
            settings = replace(settings, policy=shipped_policy(POLICIES[other]))
        lines = corrections or CORRECTIONS[other]
        screen = stack.enter_context(LiveScreen(f"guardedit demo: {lines} corrections, seed {seed}"))
        run = DemoRun(isolated(settings), screen, corrections=lines, seed=seed)
        found = run.run(report, unguarded=unguarded)
    report.write_text(show.document(found), encoding="utf-8")
    if output is Output.JSON:
        show.record(found, output)
    else:
        print_tables(found, report)
    if not reached(found):
        raise typer.Exit(Code.FAILED)
