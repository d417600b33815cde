"""Puts corrections from a stream of lines into the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError, MalformedCorrection
from guardedit.core.messages import Delivery
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.signing.keys import SigningKey, sign_message
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
    ledger: SqliteLedger, stream: BinaryIO, *, name: str, submission: str, key: SigningKey | None = None
) -> Iterator[Submitted]:
    """Put the lines of a stream into the inbox; yields the totals after each transaction.

    Args:
        ledger: open for messages.
        stream: JSON Lines.
        name: name of the file, for people.
        submission: the same lines under the same submission count once.
        key: signs the corrections; None: they go in as they are.

    Raises:
        MalformedCorrection: a correction names another source than the key's.
        SourceError: the stream cannot be read.
        StorageFull: the disk is full. Lines counted in the totals yielded before are stored.
    """
    deliveries = read_lines(stream, name=name, submission=submission)
    total = Submitted()
    while chunk := list(islice(deliveries, CHUNK)):
        if key is not None:
            chunk = [_signed(delivery, key) for delivery in chunk]
        new = ledger.receive(chunk)
        total = Submitted(lines=total.lines + len(chunk), new=total.new + new)
        yield total


def signed(raw: bytes, key: SigningKey, place: str) -> bytes:
    """The message with a signature.

    A correction without an id gets one from its content and its place: a copy of the signed message has the
    same id, and the same correction at another place, such as a later line, is a new one.

    Args:
        raw: the message.
        key: signs.
        place: where the message stands; no other message of this source may have the same one.

    Raises:
        CorrectionError: it is not a correction, or names another source than the key's.
    """
    content = f"{place}\0{decode_correction(raw).id}"
    return sign_message(raw, key, default_id=hashlib.sha256(content.encode()).hexdigest()[:32])


def _signed(delivery: Delivery, key: SigningKey) -> Delivery:
    try:
        decode_correction(delivery.raw)
    except CorrectionError:
        return delivery  # it becomes a dead letter with its original bytes
    try:
        return replace(delivery, raw=signed(delivery.raw, key, delivery.position))
    except MalformedCorrection as error:
        raise MalformedCorrection(f"{delivery.position.partition('#')[0]}: {error}") from error
