"""`guardedit bench trial`: measures how long the guard's trial of a batch takes."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import LINE_S, Seed, Threads
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def trial(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    batch: Annotated[int, typer.Option(min=1, help="Edits in a trial.")] = 8,
    method: Annotated[str, typer.Option(help="The editing method that makes the edits.")] = "joint",
    sample: Annotated[
        int,
        typer.Option(
            min=0, help="Texts and questions of the plain trial that are run; the rest is reckoned. 0: all."
        ),
    ] = 32,
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure the seconds of a trial.

    Two batches of edits are made. `first` is the trial of the one, when nothing is kept yet; `next` that of
    the other on top of it, as in a running system. `plain` is the same trial with every layer run and every
    answer generated; a sample of it is run. `share` is that of the trial in the whole time of a batch,
    without waiting. Without --facts, another model than the demo model is edited on public facts that it
    knows.
    """
    from guardedit.editing.registry import Registry
    from guardedit.lab.choosing import check_methods
    from guardedit.lab.trial_speed import measure_trial_speed
    from guardedit.policy.load import load_policy
    from guardedit.prepare.places.edit_cases import public_cases

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    check_methods(Registry(), [method])
    with progress("loading the model", every_s=LINE_S) as report:
        found = measure_trial_speed(
            settings,
            rules,
            facts,
            batch=batch,
            method=method,
            threads=threads,
            seed=seed,
            sample=sample,
            tell=report,
            known=partial(public_cases, seed=seed),
        )
    if output is Output.JSON:
        show.record(asdict(found), output)
        return
    numbers: dict[str, Any] = asdict(found)
    del numbers["parts"], numbers["reason"]
    rows = [
        {"": name, "value": f"{value:.3g}" if isinstance(value, float) else str(value)}
        for name, value in numbers.items()
    ]
    show.rows(rows, list(rows[0]), output, empty="")
    parts = ", ".join(f"{part} {share * found.next:.1f} s" for part, share in found.parts.items())
    show.line({}, output, f"Where the {found.next:.1f} seconds of the next trial go: {parts}.")
    if found.reason:
        show.line({}, output, f"It does not accept: {found.reason}")
