"""`guardedit bench live`: how soon a correction answers while trials run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.bench.options import Seed
from guardedit.cli.terminal import show
from guardedit.cli.terminal.lists import numbers_in
from guardedit.cli.terminal.options import Format, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.lab.latency import AnswerLatency


def live(
    *,
    policy: PolicyFile = None,
    model: Model = None,
    sizes: Annotated[
        str,
        typer.Option(
            help="Numbers of facts that are live before a measurement; one measurement for each.",
            metavar="N,N",
        ),
    ] = "0,1000,10000",
    corrections: Annotated[
        int, typer.Option(min=2, help="Number of corrections measured at each size.")
    ] = 500,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure how soon a correction answers.

    The time from submitting a correction to its first answer, while other facts are on trial all the time;
    also corrections and questions per second.

    Runs the system as `guardedit run` does, with one replica in this process and the model worker in
    another, in a temporary folder.
    """
    from guardedit.policy.load import load_policy

    counts = numbers_in("--sizes", sizes)
    if not counts:
        raise UsageError("--sizes is empty: give the numbers of live facts, as in 0,1000")
    settings = settings_from(policy=policy, model=model)
    rules = load_policy(settings.policy)
    from guardedit.lab.latency_run import measure_latency

    with progress("starting") as report:
        found = [
            measure_latency(
                settings, rules, count, corrections=corrections, seed=seed, tell=report, warn=show.warn
            )
            for count in counts
        ]
    if output is Output.JSON:
        show.record({"sizes": [asdict(one) for one in found]}, output)
        return
    rows = [_row(one) for one in found]
    show.rows(rows, list(rows[0]), output, empty="")


def _row(found: AnswerLatency) -> dict[str, Any]:
    return {
        "facts": found.facts,
        "corrections": found.corrections,
        "p50_ms": f"{found.quantile_s(0.5) * 1e3:.0f}",
        "p99_ms": f"{found.quantile_s(0.99) * 1e3:.0f}",
        "max_ms": f"{found.quantile_s(1.0) * 1e3:.0f}",
        "on_trial": f"{found.on_trial:.2f}",
        "corrections_per_s": f"{found.corrections_per_s:.0f}",
        "questions_per_s": f"{found.questions_per_s:.0f}",
    }
