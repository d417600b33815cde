"""`guardedit explain`: the whole story of a correction, from the ledger alone."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.runtime.opening import existing
from guardedit.runtime.operator.story import story


def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help="The id of a correction or a fact, or the number of a message."),
    ],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
) -> None:
    """Tell the whole story of a correction up to now.

    When it was received and decided, and by which rule; when it was remembered, proposed and tried, with the
    numbers of the gates that decided; why it stays in memory, or in which epoch it entered the weights; what
    replaced or removed it; and what an asker gets now. The policy's part alone, rule by rule, is in
    `guardedit policy explain`.
    """
    with existing(settings_from(home)) as ledger:
        told = story(ledger, name, now_s=time.time())
    rows = [{"time": show.moment(one.at_s) or "now", "step": one.step, "what": one.text} for one in told]
    show.rows(rows, ("time", "step", "what"), output, empty="nothing happened")
