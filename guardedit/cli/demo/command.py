"""`guardedit demo`: the whole way on the embedded model, with a report, a picture and thresholds."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.demo.screen import Screen
from guardedit.cli.demo.tables import print_tables
from guardedit.cli.run import Runtime
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.demo.run import DemoRun
from guardedit.settings import shipped_policy

POLICY = "demo.yaml"


def demo(
    *,
    corrections: Annotated[int, typer.Option(min=40, help="Lines of the stream.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Another seed is another stream.")] = 0,
    runtime: Annotated[Runtime, typer.Option(help="In Ray actors, or in this process.")] = Runtime.RAY,
    report: Annotated[Path, typer.Option(help="Where to write; a PNG goes beside it.")] = Path("demo.json"),
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    unguarded: Annotated[
        bool,
        typer.Option(
            "--unguarded/--no-unguarded",
            help="Also run the stream with the guard off, by original ROME, and from memory alone.",
        ),
    ] = True,
) -> None:
    """Stream corrections through the whole system, ask everything afterwards, and compare with thresholds.

    Among the corrections are some whose edits ruin a model. The coordinator is killed once, epochs are rolled
    back, facts undone and redone. Uses a fresh folder unless --home names one. Exit code 1 when a number
    misses its threshold.
    """
    from guardedit.demo.report import reached

    with ExitStack() as stack:
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guardedit-demo-")))
        settings = settings_from(folder, policy or shipped_policy(POLICY), model, runtime=runtime.value)
        # The demo talks to nobody: no broker, no port. One worker of one thread a core: threads of one
        # process wait for each other at every operator, which is ten times slower beside other work.
        workers = max(settings.model_workers, min(4, os.cpu_count() or 1))
        settings = replace(settings, metrics=None, redis_url="", ray_address="", model_workers=workers)
        screen = stack.enter_context(Screen(f"guardedit demo: {corrections} corrections, seed {seed}"))
        found = DemoRun(settings, screen, corrections=corrections, seed=seed).run(report, unguarded=unguarded)
    report.write_text(show.document(found), encoding="utf-8")
    if output is Output.JSON:
        show.record(found, output)
    else:
        print_tables(found, report)
    if not reached(found):
        raise typer.Exit(Code.FAILED)
