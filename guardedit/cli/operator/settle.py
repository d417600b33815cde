"""`guardedit settle`: waits until nothing is left to do."""

from __future__ import annotations

from typing import Annotated

import typer

from guardedit.cli.operator.long_stages import EVERY_S
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.runtime.operator.settling import wait_until_settled


def settle(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0.0, help="Wait at most this many seconds.", show_default=False),
    ] = None,
) -> None:
    """Wait until the running coordinator has nothing left to do.

    Nothing is left when every message is decided, no fact waits for the weights or is on trial, and no
    undecided fact is to be tried again. Corrections that are held for a person do not count.

    Exits 0 then. After the timeout it exits 1 and says what is left. Until then it says what it waits for.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy)
    rules = load_policy(settings.policy)
    with progress("waiting", every_s=EVERY_S) as report:
        left = wait_until_settled(
            settings, rules, timeout_s=timeout_s, tell=lambda left: report(f"left to do: {left}")
        )
    fields = {
        "settled": left.nothing,
        "waiting": left.inbox,
        "waiting_for_weights": left.weights,
        "undecided": left.undecided,
        "unmeasured": left.unmeasured,
        "stage": str(left.stage) if left.stage else None,
    }
    show.line(fields, output, "settled: nothing is left to do" if left.nothing else f"not settled: {left}")
    if not left.nothing:
        raise typer.Exit(1)
