"""`guardedit editors ablate`: measure the default editor with one part left out at a time."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.cli.editors.options import Batch, Sequential, Single
from guardedit.cli.editors.tables import print_results
from guardedit.cli.terminal import show
from guardedit.cli.terminal.lists import names_in
from guardedit.cli.terminal.options import MOST_SEED, Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def ablate(
    *,
    only: Annotated[
        str | None,
        typer.Option(
            help="Names of ablations, separated by commas. Default: all.", metavar="A,B", show_default=False
        ),
    ] = None,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    single: Single = 24,
    sequential: Sequential = 64,
    batch: Batch = 32,
    seed: Annotated[
        int,
        typer.Option(min=0, max=MOST_SEED, help="Random seed, for the choice of facts and for the editor."),
    ] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure what each part of the default editor contributes.

    Edits the same facts again and again, each time with one part of the editor left out or replaced. The
    first row is the complete editor. The columns are those of `editors compare`.
    """
    from guardedit import assembly
    from guardedit.lab.choosing import cases_to_edit, unknown_to
    from guardedit.lab.editors import ablation
    from guardedit.lab.editors.compare import Plan
    from guardedit.lab.editors.report import numbers
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    chosen = ablation.choose(names_in(only))
    cases, texts = cases_to_edit(settings, facts, count=max(single, sequential), seed=seed)
    plan = Plan(single=single, sequential=sequential, batch=batch, checkpoints=(sequential,))
    started = time.perf_counter()
    with progress("loading the model") as report:
        setup = assembly.load_setup(settings, rules, seed=seed)
        report("asking the base model")
        cases = unknown_to(setup.host, cases)
        found = ablation.ablate(setup, cases, texts, plan, ablations=chosen, tell=report)
    seconds = time.perf_counter() - started
    if output is Output.JSON:
        about = {"base_sha256": setup.host.base_sha256, "seed": seed, "facts": len(cases), "batch": batch}
        show.record({**about, "seconds": seconds, "ablations": numbers(found)}, output)
        return
    print_results(found)
    show.line({}, output, f"{len(cases)} facts; batches of {batch} in sequence; {seconds:.0f} s.")
