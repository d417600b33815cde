"""`guardedit bench growth`: how the default editor's speed depends on the sizes of its input."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import Seed, Threads
from guardedit.cli.terminal import show
from guardedit.cli.terminal.lists import numbers_in
from guardedit.cli.terminal.options import Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def growth(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    batches: Annotated[
        str, typer.Option(help="Numbers of facts edited at once; '' to leave this out.", metavar="N,N")
    ] = "1,8,64,512",
    widths: Annotated[
        str,
        typer.Option(help="Widths of models with random weights; '' to leave this out.", metavar="N,N"),
    ] = "128,256,512,1024",
    lengths: Annotated[
        str,
        typer.Option(
            help="Numbers of tokens of text put before every wording; '' to leave this out.", metavar="N,N"
        ),
    ] = "0,32,64,128",
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure how the default editor's speed grows.

    With the number of facts edited at once, with the model's width, and with the length of the texts; each
    time next to the plain mode on the same model and texts.
    """
    from guardedit.lab.choosing import setup_for_bench
    from guardedit.lab.editors import growth as measured
    from guardedit.policy.load import load_policy
    from guardedit.prepare.places.edit_cases import public_cases

    sizes = numbers_in("--batches", batches, at_least=1)
    wide, long = numbers_in("--widths", widths, at_least=1), numbers_in("--lengths", lengths)
    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    count = max((*sizes, measured.BATCH))
    with progress("loading the model"):
        setup, cases = setup_for_bench(
            settings,
            rules,
            facts,
            count=count,
            threads=threads,
            seed=seed,
            known=partial(public_cases, seed=seed),
        )
    for size in sizes:
        if size > len(cases):
            show.warn(f"--batches {size} is left out: there are only {len(cases)} facts to edit")
    found: list[dict[str, Any]] = []
    for measure, values in (
        (measured.with_batch, sizes),
        (measured.with_width, wide),
        (measured.with_length, long),
    ):
        with progress("measuring") as report:
            rows = [asdict(one) for one in measure(setup, cases, values, tell=report)]
        found += rows
        if rows and output is Output.TABLE:  # at once: the next measurements may take long
            show.rows(rows, list(rows[0]), output, empty="")
    if output is Output.JSON:
        show.record({"grown": found}, output)
    elif not found:
        show.line({}, output, "nothing to measure: --batches, --widths and --lengths are empty")
