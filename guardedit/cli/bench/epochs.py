"""`guardedit bench epochs`: count answers that mix two epochs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from guardedit.cli.bench.options import Seed
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def epochs(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    answers: Annotated[
        int, typer.Option(min=1, help="Number of answers counted with one replica, and again with two.")
    ] = 10_000,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Count answers that mix two epochs.

    Several epochs with different answers, in memory and in the weights, are published in turn without pause,
    while one replica, and then two, are asked. An answer is mixed if it names one epoch and says what
    another one says. Exit code 1 if there is any.
    """
    from guardedit.lab.epoch_mixing_run import measure_mixing
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    with progress("loading the model") as report:
        found = measure_mixing(settings, rules, answers=answers, seed=seed, tell=report)
    if output is Output.JSON:
        show.record({"set_ups": [asdict(one) for one in found]}, output)
    else:
        rows = [{**asdict(one), "answers_per_s": f"{one.answers_per_s:.0f}"} for one in found]
        show.rows(rows, list(rows[0]), output, empty="")
    if any(one.mixed for one in found):
        raise typer.Exit(Code.FAILED)
