"""`guardedit probes check`: how small a harm the probe set of a model can tell."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from guardedit.cli.probes.options import ModelName
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def check(
    model: ModelName = None,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    noise: Annotated[
        int, typer.Option(min=1, help="Number of harmless changes of the weights to measure noise with.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed, for the noise.")] = 1,
    output: Format = Output.TABLE,
) -> None:
    """Check the probe set of a model against what the policy needs.

    Asks every question, and measures the texts with and without small random changes of the weights.

    good: questions whose answer the model gives now. noise: share of answers that a harmless change flips.
    smallest_ratio: the smallest ratio of perplexities that the texts find with 99 % power. smallest_share:
    the same for changed answers, with as many questions as a trial asks. A limit of the policy below these
    cannot be judged: this is said, with a remedy.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    from guardedit.prepare.probes.job import check as check_set

    with progress("loading the model") as report:
        found, problems = check_set(settings, rules, noise=noise, seed=seed, tell=report)
    show.record(
        {**asdict(found), "problems": list(problems)} if output is Output.JSON else asdict(found), output
    )
    for text in problems:
        show.warn(text)
