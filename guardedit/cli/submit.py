"""`guardedit submit`: corrections from files or standard input into the inbox."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.cli.terminal.streams import standard_input
from guardedit.core.errors import GuardeditError, SourceError
from guardedit.core.messages import Delivery
from guardedit.runtime.opening import inbox
from guardedit.sources.jsonl import read_lines

#: Lines a transaction. What was counted is on the disk.
CHUNK = 500


def submit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON Lines; - is standard input.")],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    submission: Annotated[
        str,
        typer.Option(
            "--submission",
            help="Name of this submission. The same lines under the same name count once, so an "
            "interrupted submission can be repeated. Default: a fresh name.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Put corrections into the inbox, one JSON object a line.

    Works with and without a running coordinator. A line that cannot be read is taken as well, and becomes
    a dead letter with its original bytes.
    """
    settings = settings_from(home)
    name = submission or uuid.uuid4().hex
    with inbox(settings) as ledger:
        for file in map(str, files):
            lines = new = 0
            try:
                with _opened(file) as stream:
                    for chunk in _chunks(read_lines(stream, name=file, submission=name)):
                        new += ledger.receive(chunk)
                        lines += len(chunk)
            except GuardeditError:
                if lines:
                    show.warn(f"{file}: {lines} lines are in the inbox; to go on, add --submission {name}")
                raise
            told = {"file": file, "lines": lines, "new": new, "redelivered": lines - new, "submission": name}
            show.line(told, output, f"{file}: {new} new, {lines - new} redelivered")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield standard_input()
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115, PTH123 - closed below; errors of the body are not ours
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {file}: {why}; give a readable JSON Lines file, or -") from error
    with stream:
        yield stream


def _chunks(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    deliveries = iter(deliveries)
    while chunk := list(islice(deliveries, CHUNK)):
        yield chunk
