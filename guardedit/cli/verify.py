"""`guardedit verify`: check that the ledger, the model's files and the served weights are as recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.ledger.opening import anchor as anchor_head
from guardedit.runtime.opening import existing
from guardedit.runtime.operator.verification import verify_home


def verify(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    ledger_only: Annotated[
        bool,
        typer.Option(
            "--ledger-only", help="Check only the ledger: no model files, no weights, no memory. Much faster."
        ),
    ] = False,
    anchor: Annotated[
        bool,
        typer.Option(
            "--anchor",
            help="First accept the ledger as it ends now and sign that with GUARDEDIT_LEDGER_KEY. Needed "
            "once after that key was set.",
        ),
    ] = False,
) -> None:
    """Check that everything is as it was recorded.

    Checks the ledger's hash chain, tables and blobs; the files of the base model; the weights that the
    serving epoch's edits fold to; and the facts in memory.

    Prints one line for each problem, and exits with code 1 if there is any. Nothing is repaired. Without
    --anchor nothing is written.
    """
    settings = settings_from(home, policy, model)
    if anchor:
        anchor_head(settings.home, key=settings.ledger_key)
    with existing(settings) as ledger, progress("opening the ledger") as report:
        found = verify_home(settings, ledger, ledger_only=ledger_only, tell=report)
    if output is Output.JSON:
        fields = {"sound": not found.problems, "checked": found.checked, "problems": found.problems}
        show.record(fields, output)
    else:
        for problem in found.problems or [f"sound: {', '.join(found.checked)}; {found.events} events"]:
            show.line({}, output, problem)
    if found.problems:
        raise typer.Exit(Code.FAILED)
