"""`guardedit bench edit`: how fast edits are made, against the plain way, in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli import show
from guardedit.cli.failure import Commands
from guardedit.cli.options import Format, Home, Model, PolicyFile, examples, settings_from
from guardedit.cli.show import Output

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Measure speed; each command compares within one run.",
    rich_markup_mode=None,
)

#: Facts beyond the batch that are read, since some are said by the model already.
SPARE = 16


@app.command(epilog=examples("guardedit bench edit --batch 64", "guardedit bench edit --output json"))
def edit(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Corrections, as for submit; else, for the demo model, facts of its own world.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Facts proposed at once.")] = 64,
    plain: Annotated[int, typer.Option(min=1, help="Facts made the plain way.")] = 8,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: as PyTorch chooses.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the choice of facts.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Edits a second of the default editor and of its plain mode, on the same model and facts.

    The plain mode is what reference code does: one fact at a time, the whole model, a fixed number of steps.
    The floor is the time that the counted matrix operations take at this machine's measured rate.
    """
    import torch
    from rich.console import Console

    from guardedit import assembly
    from guardedit.cli.editors_compare import facts_to_edit
    from guardedit.editing.registry import Registry
    from guardedit.evaluation.editors.cases import vetted
    from guardedit.evaluation.editors.speed import compare_speed
    from guardedit.models.guessing import complete_guessed
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    if threads:
        torch.set_num_threads(threads)
    cases, _ = facts_to_edit(settings, facts, count=batch + SPARE, seed=seed)
    setup = assembly.load_setup(settings, rules, seed=seed)
    good = vetted(cases, lambda guesses: complete_guessed(setup.host, guesses))
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with console.status("editing") as status:
        found = compare_speed(
            setup,
            Registry().build("joint", setup),
            good,
            batch=min(batch, len(good)),
            plain=min(plain, len(good)),
            tell=status.update,
        )
    if output is Output.JSON:
        show.record(found, output)
        return
    slow = found["plain"]
    rows = [{"": name, "engine": f"{found[name]:.4g}", "plain": f"{slow[name]:.4g}"} for name in slow]
    show.rows(rows, ["", "engine", "plain"], output, empty="")
    show.line(
        {},
        output,
        f"{found['ratio']:.1f} times the plain mode's edits a second; {found['threads']} threads, "
        f"{found['matrix_gigaflops_per_second']:.0f} gigaflops a second in matrix products.",
    )
