"""`guardedit facts kept` and `release`: facts that are sent to the weights but stay in memory."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from guardedit.agent.kept import Kept
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.fact import Fact
from guardedit.runtime.opening import changing, existing
from guardedit.runtime.operator.facts import kept_facts, release_facts


def kept(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the facts that are kept in memory, with the reason.

    These are live facts that the policy sends to the weights. They answer from memory for now.

    State kept: the layer is full, the edit would do harm, or the editor refused it. quarantined: taken out
    of the weights after a breach, or by an operator. undecided: its trial could not decide, and it is tried
    again with more probes. held: undecided too often, a person has to look. The evidence column names the
    epoch that shows it.
    """
    with existing(settings_from(home)) as ledger:
        found = kept_facts(ledger, now_s=time.time())
    rows = sorted((_row(fact, reason) for fact, reason in found), key=lambda row: row["since"] or "")
    columns = ("fact", "subject", "state", "code", "reason", "evidence", "since")
    show.rows(rows, columns, output, empty="no fact is kept out of the weights")


def release(
    facts: Annotated[
        list[str],
        typer.Argument(metavar="FACT...", help="The id of a fact listed by `facts kept`, or a subject."),
    ],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
) -> None:
    """Let facts that are kept in memory be tried for the weights again."""
    with changing(settings_from(home)) as ledger:
        for fact in release_facts(ledger, facts, now_s=time.time()):
            fields = {"fact": fact.id, "subject": fact.key.subject, "released": True}
            show.line(fields, output, f"{fact.id} ({fact.key.subject}): released, may be promoted again")


def _row(fact: Fact, reason: Kept) -> dict[str, Any]:
    return {
        "fact": fact.id,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "target": fact.target,
        "correction": fact.correction_id,
        "state": reason.state,
        "code": reason.code,
        "reason": reason.reason,
        "evidence": reason.epoch,
        "tries": reason.tries,
        "since": show.moment(reason.since_s),
    }
