"""`guardedit dlq`: messages that can never work as they were written, with their original bytes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.ledger.inbox import DeadLetter
from guardedit.runtime.opening import changing, existing

app = commands("Dead letters: list, show, retry, drop.")

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Numbers from `dlq list`.")]

#: Longest excerpt of a message or a reason in the list, in characters.
EXCERPT = 72


@app.command("list", epilog=examples("guardedit dlq list", "guardedit dlq list --output json"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the dead letters, oldest first."""
    with existing(settings_from(home)) as ledger:
        letters = [described(letter) for letter in ledger.dead_letters()]
    if output is Output.TABLE:
        letters = [{**letter, "message": _short(letter["message"])} for letter in letters]
    columns = ("number", "at", "source", "position", "reason", "message")
    show.rows(letters, columns, output, empty="no dead letters")


@app.command("show", epilog=examples("guardedit dlq show 17", "guardedit dlq show 17 --raw > message.json"))
def show_(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="A number from `dlq list`.")],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    raw: Annotated[bool, typer.Option("--raw", help="Only the original bytes, as they came.")] = False,
) -> None:
    """Show one dead letter: the reason, where it came from, and the message."""
    with existing(settings_from(home)) as ledger:
        letter = ledger.dead_letter(number)
    if raw:
        show.raw(letter.raw)
    else:
        show.record({**described(letter), "bytes": len(letter.raw), "raw": _text(letter.raw)}, output)


@app.command("retry", epilog=examples("guardedit dlq retry 17 18"))
def retry(numbers: Numbers, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Read the messages again, unchanged, as after an upgrade or with another model."""
    with changing(settings_from(home)) as ledger:
        for number in numbers:
            ledger.retry(number)
            told = {"number": number, "retried": True}
            show.line(told, output, f"{number}: waits for the coordinator again")


@app.command("drop", epilog=examples("guardedit dlq drop 17"))
def drop(numbers: Numbers, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Stop listing the messages. The record and the bytes stay in the ledger."""
    with changing(settings_from(home)) as ledger:
        for number in numbers:
            ledger.drop(number)
            show.line({"number": number, "dropped": True}, output, f"{number}: dropped")


def described(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as a row, without its bytes."""
    return {
        "number": letter.seq,
        "at": show.moment(letter.at_s),
        "source": letter.source,
        "position": letter.position,
        "reason": letter.reason,
        "message": letter.message,
    }


def _short(text: str) -> str:
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
