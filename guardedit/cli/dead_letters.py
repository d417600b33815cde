"""`guardedit dlq`: dead letters, which are messages that cannot be processed as they were written."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.ledger.inbox import DeadLetter
from guardedit.runtime.opening import changing, existing

app = commands("Handle messages that could not be processed (dead letters).")

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="A number listed by `dlq list`.")]

#: Longest excerpt of a message in the list, in characters.
EXCERPT = 72


@app.command("list", epilog=examples("guardedit dlq list", "guardedit dlq list --output json"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the dead letters, oldest first.

    A dead letter is a message that could not be decoded, decided or stored. It is kept with its reason and
    its original bytes.
    """
    with existing(settings_from(home)) as ledger:
        rows = [_row(letter) for letter in ledger.dead_letters()]
    if output is Output.TABLE:
        rows = [{**row, "message": _shortened(row["message"])} for row in rows]
    columns = ("number", "at", "source", "position", "reason", "message")
    show.rows(rows, columns, output, empty="no dead letters")


@app.command("show", epilog=examples("guardedit dlq show 17", "guardedit dlq show 17 --raw > message.json"))
def show_(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="A number listed by `dlq list`.")],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the original bytes.")] = False,
) -> None:
    """Show one dead letter: its reason, its source and the message."""
    with existing(settings_from(home)) as ledger:
        letter = ledger.dead_letter(number)
    if raw:
        show.raw(letter.raw)
    else:
        text = letter.raw.decode("utf-8", "backslashreplace")
        show.record({**_row(letter), "bytes": len(letter.raw), "raw": text}, output)


@app.command("retry", epilog=examples("guardedit dlq retry 17 18"))
def retry(numbers: Numbers, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Put dead letters back into the inbox, unchanged.

    Useful after an upgrade, or with another model or policy.
    """
    with changing(settings_from(home)) as ledger:
        for number in numbers:
            ledger.retry(number)
            text = f"{number}: waits for the coordinator again"
            show.line({"number": number, "retried": True}, output, text)


@app.command("drop", epilog=examples("guardedit dlq drop 17"))
def drop(numbers: Numbers, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Remove dead letters from the list.

    The record and the original bytes stay in the ledger.
    """
    with changing(settings_from(home)) as ledger:
        for number in numbers:
            ledger.drop(number)
            show.line({"number": number, "dropped": True}, output, f"{number}: dropped")


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.seq,
        "at": show.moment(letter.at_s),
        "source": letter.source,
        "position": letter.position,
        "reason": letter.reason,
        "message": letter.message,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."
