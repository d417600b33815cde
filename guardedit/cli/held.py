"""`guardedit held`: corrections that wait for a person, because the policy holds them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError
from guardedit.core.messages import Fate
from guardedit.ledger.inbox import Entry
from guardedit.runtime.opening import changing, existing

app = commands("Review corrections that wait for a person.")


@app.command("list", epilog=examples("guardedit held list"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the held corrections, oldest first, with the policy's reason."""
    with existing(settings_from(home)) as ledger:
        entries = ledger.entries(Fate.HELD, limit=-1)
    rows = [_row(entry) for entry in entries]
    columns = ("correction", "subject", "target", "source", "confidence", "reason", "received")
    show.rows(rows, columns, output, empty="nothing is held")


@app.command("release", epilog=examples("guardedit held release c-1041"))
def release(
    corrections: Annotated[
        list[str], typer.Argument(metavar="CORRECTION...", help="The id of a held correction.")
    ],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
) -> None:
    """Release held corrections.

    The coordinator decides about them again and does not hold them a second time.
    """
    with changing(settings_from(home)) as ledger:
        for correction in corrections:
            ledger.release(correction)
            fields = {"correction": correction, "released": True}
            show.line(fields, output, f"{correction}: released, waits for the coordinator")


@app.command("reject", epilog=examples("guardedit held reject c-1041 --reason 'not true'"))
def reject(
    corrections: Annotated[
        list[str], typer.Argument(metavar="CORRECTION...", help="The id of a held correction.")
    ],
    *,
    home: Home = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "a person rejected it",
    output: Format = Output.TABLE,
) -> None:
    """Reject held corrections for good.

    Nothing changes but their fate. The record stays in the ledger.
    """
    with changing(settings_from(home)) as ledger:
        for correction in corrections:
            ledger.reject(correction, reason=reason)
            show.line({"correction": correction, "rejected": True}, output, f"{correction}: rejected")


def _row(entry: Entry) -> dict[str, Any]:
    """A held correction as a row. If this version cannot read it, the row has the error."""
    row = {"correction": entry.correction_id, "reason": entry.reason}
    row |= {"received": show.moment(entry.received_at_s), "position": entry.position}
    try:
        correction = decode_correction(entry.raw, recorded=True)
    except CorrectionError as error:
        return {**row, "subject": None, "target": f"cannot be read: {error}"}
    return {
        **row,
        "subject": correction.subject,
        "prompt": correction.prompt,
        "target": correction.target_new,
        "source": correction.provenance.source,
        "confidence": correction.provenance.confidence,
    }
