"""The end of the chain, noted outside the database: `ledger.head`, one line for each commit.

A chain shows that a row was changed or taken out of it. It cannot show that its end was cut off, that the
write-ahead log was lost, or that the whole file is gone. This file can: it names the last event of each
commit, and is on the disk when the commit returns. With a key each line is signed, so that nobody without
the key can make database and file agree on something else.

What stays possible for somebody who may write to the folder: to put back an older database together with the
file as it was then. Against that, keep a copy of the last line somewhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.durable import sync_folder

NAME = "ledger.head"
#: From this size on the file is written anew with its last line.
LARGE_BYTES = 64 * 1024

_START = "0" * 64  # stands where there is no event yet
_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64}|-)")
#: What a crash in the middle of a line leaves. The next line begins with a line break of its own.
_TORN = re.compile(r"\d{0,18}|\d{1,18} [0-9a-f]{0,64}|\d{1,18} [0-9a-f]{64} [0-9a-f]{0,63}")
_REMEDY = "restore the folder from a backup"


class Head(NamedTuple):
    """The last event of a commit; `signature` "-" where no key was given."""

    seq: int
    hash: str
    signature: str = "-"


class Heads:
    """The file of one ledger, and the key that its lines are signed with; empty for none.

    The one process that is its `keeper` writes the file anew when it is large.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes = b"",
        *,
        keeper: bool = False,
        seen: Sequence[Head] | None = None,
    ) -> None:
        self.path = folder / NAME
        self._key = key
        self._keeper = keeper
        self._seen = seen

    def frozen(self) -> Heads:
        """These heads as they are now, to compare with a copy of the database that is not older."""
        return Heads(self.path.parent, self._key, seen=self.read())

    def read(self) -> Sequence[Head]:
        """All lines, in the order they were written; none where there is no file.

        Raises:
            LedgerCorrupt: a line is none, or is not signed by this key.
            LedgerError: the file cannot be read.
        """
        return self._read() if self._seen is None else self._seen

    def begin(self) -> None:
        """Say that there is no event yet, before the first one comes."""
        self.append(0, _START)
        sync_folder(self.path.parent)

    def append(self, seq: int, digest: str) -> None:
        """Note the end of a commit, durably.

        Dying before this line is on the disk is harmless: the database is then ahead of the file, and
        only a file ahead of the database means a loss.
        """
        failpoint("head.append")
        # Opened each time: another process may have written the file anew.
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # One write, so that the lines of two processes do not mix.
            os.write(handle, f"\n{self._line(Head(seq, digest))}\n".encode())
            failpoint("head.fsync")
            os.fsync(handle)
            large = os.fstat(handle).st_size > LARGE_BYTES
        finally:
            os.close(handle)
        if large and self._keeper:
            # A line that another process writes meanwhile may be lost. That is harmless: see above.
            self._write_anew(max(self.read()))

    def renew(self, seq: int, digest: str) -> None:
        """Let this be the end from now on, whatever the file said."""
        self._write_anew(Head(seq, digest) if seq else Head(0, _START))

    def refuse_unsigned(self) -> None:
        """LedgerError for a writer without the key that this ledger's lines are signed with."""
        if not self._key and any(head.signature != "-" for head in self.read()):
            raise LedgerError(
                f"{self.path} is signed: set GUARDEDIT_LEDGER_KEY to the key that this ledger was begun with"
            )

    def problems(self, last: int, hashes: Mapping[int, str]) -> Iterator[str]:
        """Where the database does not reach to what was noted, or tells another story.

        Args:
            last: the database's last event, 0 for none.
            hashes: of its events whose numbers are in `read`.
        """
        heads = self.read()
        # Looked at again: both may have been begun by somebody else since.
        if last and not heads and not self._read():
            yield f"{self.path} is missing or empty, so nothing says whether events were cut off: {_REMEDY}"
        newest = max((head.seq for head in heads), default=0)
        if newest > last:
            yield (
                f"{self.path} names event {newest}, the database ends at {last}: its end was cut off or "
                f"its write-ahead log was lost; {_REMEDY}"
            )
        for head in heads:
            if 0 < head.seq <= last and hashes.get(head.seq) != head.hash:
                yield (
                    f"{self.path} names another hash for event {head.seq} than the database has: one of "
                    f"them was changed; {_REMEDY}"
                )

    def _read(self) -> Sequence[Head]:
        try:
            text = self.path.read_bytes().decode("ascii", "replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be read: {error.strerror}; check its rights") from error
        return list(self._lines(text))

    def _lines(self, text: str) -> Iterator[Head]:
        for line in filter(None, (part.strip("\0") for part in text.split("\n"))):
            if found := _LINE.fullmatch(line):
                head = Head(int(found[1]), found[2], found[3])
                self._check(head)
                yield head
            elif not _TORN.fullmatch(line):
                raise LedgerCorrupt(f"{self.path} is damaged: {line[:80]!r} is no line of it; {_REMEDY}")

    def _check(self, head: Head) -> None:
        if not self._key:
            return
        if head.signature == "-":
            raise LedgerCorrupt(
                f"{self.path} is not signed at event {head.seq}, but a key is set: unset "
                "GUARDEDIT_LEDGER_KEY, or accept the ledger as it is with `guardedit verify --anchor`"
            )
        if not hmac.compare_digest(head.signature, self._signature(head)):
            raise LedgerCorrupt(
                f"{self.path} has a wrong signature at event {head.seq}: set GUARDEDIT_LEDGER_KEY to the key "
                f"that it was signed with; if that is the one, the file was changed: {_REMEDY}"
            )

    def _line(self, head: Head) -> str:
        return f"{head.seq} {head.hash} {self._signature(head) if self._key else '-'}"

    def _signature(self, head: Head) -> str:
        message = f"guardedit ledger head {head.seq} {head.hash}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def _write_anew(self, head: Head) -> None:
        unfinished = self.path.with_name(f".{NAME}-unfinished")
        try:
            with unfinished.open("wb") as file:
                file.write(f"{self._line(head)}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            failpoint("head.rename")
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_folder(self.path.parent)
