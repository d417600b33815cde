"""`guardedit memory check`: whether the base model obeys the facts that are in memory."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.runtime.opening import begun, existing
from guardedit.runtime.operator.facts import find_facts, live_facts
from guardedit.runtime.operator.obedience import check_facts


def check(
    fact: Annotated[
        str, typer.Argument(metavar="[FACT]", help="The id of a fact, or a subject. Default: all facts.")
    ] = "",
    *,
    home: Home = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Ask the base model for the facts in memory, each stated beside each of its wordings.

    A model that does not obey a stated fact still answers with its target if its memory card has a limit
    (`asking_nats`, written by `memory tune`).
    """
    settings = settings_from(home, None, model)
    with existing(settings) as ledger:
        if fact:
            facts = find_facts(ledger, fact)
        else:
            now_s = time.time()
            facts = live_facts(ledger, ledger.ref("serving"), now_s=now_s) if begun(ledger) else []
    with progress("loading") as report:
        found = check_facts(settings, facts, report) if facts else []
    rows = [
        {
            "id": one.fact.id,
            "subject": one.fact.key.subject,
            "target": one.fact.target,
            "obeyed": one.obeyed,
            "asked": one.asked,
            "forced": one.forced,
            "state": one.summary,
        }
        for one in found
    ]
    show.rows(rows, ("id", "subject", "target", "state"), output, empty="no facts in memory")
