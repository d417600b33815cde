"""Puts corrections from a stream of lines into the inbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.sources.jsonl import read_lines

#: Lines per transaction. Lines that a yielded total counts are on the disk.
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """Totals of one submission so far.

    Attributes:
        lines: messages that were read.
        new: those of them that were not in the inbox yet.
    """

    lines: int = 0
    new: int = 0

    @property
    def redelivered(self) -> int:
        """Messages that the inbox had already."""
        return self.lines - self.new


def submit_lines(
    ledger: SqliteLedger, stream: BinaryIO, *, name: str, submission: str
) -> Iterator[Submitted]:
    """Put the lines of a stream into the inbox; yields the totals after each transaction.

    Args:
        ledger: open for messages.
        stream: JSON Lines.
        name: name of the file, for people.
        submission: the same lines under the same submission count once.

    Raises:
        SourceError: the stream cannot be read.
        StorageFull: the disk is full. Lines counted in the totals yielded before are stored.
    """
    deliveries = read_lines(stream, name=name, submission=submission)
    total = Submitted()
    while chunk := list(islice(deliveries, CHUNK)):
        new = ledger.receive(chunk)
        total = Submitted(lines=total.lines + len(chunk), new=total.new + new)
        yield total
