"""`guardedit submit`: put corrections from files or standard input into the inbox."""

from __future__ import annotations

import sys
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import STDIN, opened, position_in
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import GuardeditError
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.opening import inbox
from guardedit.runtime.operator.submitting import Submitted, submit_lines
from guardedit.signing.keys import SigningKey, read_key


def submit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON Lines; - is standard input.")],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    submission: Annotated[
        str,
        typer.Option(
            "--submission",
            help="A name for this submission. The same lines under the same name are taken once, so an "
            "interrupted submission can be repeated. Default: a new name each time.",
            show_default=False,
        ),
    ] = "",
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="KEYFILE",
            help="Sign the corrections with this key of `guardedit keys new`, under its source.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put corrections into the inbox.

    A correction is one JSON object on a line. No coordinator needs to run: corrections wait in the ledger
    for the next `guardedit run`. A line that cannot be read becomes a dead letter with its original bytes.
    """
    settings = settings_from(home)
    key = None if sign is None else read_key(sign)
    name = submission or uuid.uuid4().hex
    with inbox(settings) as ledger:
        for file in map(str, files):
            done = _submit(ledger, file, name, key)
            fields = {
                "file": file,
                "lines": done.lines,
                "new": done.new,
                "redelivered": done.redelivered,
                "submission": name,
            }
            show.line(fields, output, f"{file}: {done.new} new, {done.redelivered} redelivered")


def _submit(ledger: SqliteLedger, file: str, submission: str, key: SigningKey | None) -> Submitted:
    done = Submitted()
    typed = file == STDIN and sys.stdin.isatty()  # a progress bar would disturb typing
    try:
        with opened(file) as stream, nullcontext() if typed else progress(file) as report:
            for done in submit_lines(ledger, stream, name=file, submission=submission, key=key):
                if report:
                    report(f"{file}: {done.lines} lines", *position_in(stream))
    except GuardeditError:
        if done.lines:
            show.warn(
                f"{file}: {done.lines} lines are in the inbox; repeat the command with "
                f"--submission {submission} to submit the rest"
            )
        raise
    return done
