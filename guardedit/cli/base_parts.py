"""`guardedit base`: the files of the base model, as recorded in the ledger and as they are now."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, commands, examples, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.runtime.operator.accepting import accept_parts, parts_in

if TYPE_CHECKING:
    from guardedit.assembly import BasePart

app = commands("Compare the base model's files with the ledger's record.")

#: Characters of a digest in a table.
SHORT = 12


@app.command("show", epilog=examples("guardedit base show"))
def show_(*, home: Home = None, model: Model = None, output: Format = Output.TABLE) -> None:
    """List the base model's files and whether they have changed.

    Every file that answers depend on is a part: weights, configuration, tokenizer, chat template, probe set,
    background text, edit card, sentence encoder, second moments. The ledger has recorded a digest of each.

    State same: as recorded. changed: another digest; nothing starts until the file is restored or accepted.
    new: second moments collected since. lost, damaged: second moments that are collected again when needed.
    """
    settings = settings_from(home, model=model)
    with progress("reading the files of the base model"):
        parts = parts_in(settings)
    rows = [_row(part) for part in parts]
    if output is Output.TABLE:
        rows = [{**row, "recorded": row["recorded"][:SHORT], "found": row["found"][:SHORT]} for row in rows]
    show.rows(rows, ("part", "state", "recorded", "found", "file"), output, empty="no parts")


@app.command("accept", epilog=examples("guardedit base accept probes", "guardedit base accept tokenizer"))
def accept(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...",
            help="A part as listed by `base show`, or the word before its slash for all changed parts of "
            "that kind.",
        ),
    ],
    *,
    home: Home = None,
    model: Model = None,
    output: Format = Output.TABLE,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", help="Who accepts the change; recorded. Default: your user name.", show_default=False
        ),
    ] = None,
) -> None:
    """Accept changed files of the base model as they are now.

    The new digests are recorded in the ledger, with your name. No coordinator may be running.

    Weights, configuration, tokenizer, background text, edit card and second moments can only be accepted
    while no edit is in the weights: with another file the same edits would fold to other weights.
    """
    settings = settings_from(home, model=model)
    with progress("reading the files of the base model"):
        accepted = accept_parts(settings, parts, by=by or _user())
    for part in accepted:
        text = f"{part.name}: accepted as {part.found[:SHORT]}, was {part.recorded[:SHORT]}"
        show.line(_row(part), output, text)


def _row(part: BasePart) -> dict[str, str]:
    return {
        "part": part.name,
        "state": part.state,
        "recorded": part.recorded,
        "found": part.found,
        "file": str(part.path),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}"
