"""`guardedit editors ablate`: the default editor with one measure at a time left out."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.cli.measuring import (
    Batch,
    Facts,
    Sequential,
    Single,
    bar,
    facts_to_edit,
    names_in,
    show_measured,
    unsaid,
)
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output


def ablate(
    *,
    only: Annotated[
        str | None,
        typer.Option(
            help="Names of ablations, with commas between; else all.", metavar="A,B", show_default=False
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
        int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts and of what is sampled.")
    ] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Leave out one measure of the default editor at a time, and edit the same facts.

    The first row is the editor as it is. The columns are those of `editors compare`.
    """
    from guardedit import assembly
    from guardedit.lab.editors import ablation
    from guardedit.lab.editors.compare import Plan
    from guardedit.lab.editors.report import numbers
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    chosen = ablation.choose(names_in(only))
    cases, texts = facts_to_edit(settings, facts, count=max(single, sequential), seed=seed)
    started = time.perf_counter()
    setup = assembly.load_setup(settings, rules, seed=seed)
    plan = Plan(single=single, sequential=sequential, batch=batch, checkpoints=(sequential,))
    with bar() as tell:
        good = unsaid(setup.host, cases)
        found = ablation.ablate(setup, good, texts, plan, ablations=chosen, tell=tell)
    seconds = time.perf_counter() - started
    if output is Output.JSON:
        about = {"base_sha256": setup.host.base_sha256, "seed": seed, "facts": len(good), "batch": batch}
        show.record({**about, "seconds": seconds, "ablations": numbers(found)}, output)
        return
    show_measured(found, output)
    show.line({}, output, f"{len(good)} facts, {batch} at a time in sequence; {seconds:.0f} s.")
