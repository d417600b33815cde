"""`guardedit bench proxy`: how much later answers come through the proxy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from guardedit.cli.bench.options import LINE_S
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def proxy(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    facts: Annotated[int, typer.Option(min=1, max=100_000, help="Number of live facts.")] = 1_000,
    requests: Annotated[
        int, typer.Option(min=10, max=100_000, help="Questions with a fact, and without one.")
    ] = 200,
    output: Format = Output.TABLE,
) -> None:
    """Measure how much later an answer comes through `guardedit proxy`.

    A server that answers at once is asked straight and through the proxy, in turns. Every question is new,
    so that the encoder has to read it. Times are in milliseconds.
    """
    from guardedit.lab.answering.proxy_overhead import measure_proxy
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy)
    rules = load_policy(settings.policy)
    with progress("loading the encoder", every_s=LINE_S) as report:
        found = measure_proxy(settings, rules, facts=facts, requests=requests, tell=report)
    rows = [asdict(one) for one in found]
    if output is Output.TABLE:
        rows = [
            {name: f"{value:.2f}" if isinstance(value, float) else value for name, value in row.items()}
            for row in rows
        ]
    show.rows(rows, list(rows[0]), output, empty="")
