"""`ledger.head`: the end of the hash chain, recorded outside the database with one line for each commit.

The chain detects a row that was changed or removed. It cannot detect that its end was cut off, that the
write-ahead log was lost, or that the whole database is gone. `ledger.head` can: it names the last event of
each commit, and is on the disk when the commit returns. With a key each line is signed, so that nobody
without the key can change the database and this file consistently.

One attack remains possible for somebody who can write to the folder: restoring an older database together
with the `ledger.head` of that time. To detect that, keep a copy of the last line in another place.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from guardedit.core.durable import sync_folder
from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.core.failpoints import failpoint

NAME = "ledger.head"
#: A file larger than this is rewritten with its last line alone.
LARGE_BYTES = 64 * 1024

_NO_EVENT = "0" * 64  # takes the place of a hash while there is no event
_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64}|-)")
#: What a crash in the middle of a line leaves. The next line starts with a line break of its own.
_TORN_LINE = re.compile(r"\d{0,18}|\d{1,18} [0-9a-f]{0,64}|\d{1,18} [0-9a-f]{64} [0-9a-f]{0,63}")
_REMEDY = "restore the folder from a backup"


class Head(NamedTuple):
    """The last event of a commit; `signature` "-" where no key is used."""

    seq: int
    hash: str
    signature: str = "-"


class HeadFile:
    """The file `ledger.head` of one ledger.

    Args:
        folder: the ledger's folder.
        key: signs the lines; empty for none.
        compacts: rewrite the file when it is large. Only one process may do this.
        lines: fixed content to use instead of the file's.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes = b"",
        *,
        compacts: bool = False,
        lines: Sequence[Head] | None = None,
    ) -> None:
        self.path = folder / NAME
        self._key = key
        self._compacts = compacts
        self._lines = lines

    def frozen(self) -> HeadFile:
        """A copy with the present content, to compare with a database that is read later."""
        return HeadFile(self.path.parent, self._key, lines=self.read())

    def read(self) -> Sequence[Head]:
        """All lines, in the order they were written; empty where there is no file.

        Raises:
            LedgerCorrupt: a line is malformed, or not signed with this key.
            LedgerError: the file cannot be read.
        """
        return self._read_file() if self._lines is None else self._lines

    def begin(self) -> None:
        """Record that there is no event yet. Call it before the first event is written."""
        self.append(0, _NO_EVENT)
        sync_folder(self.path.parent)

    def append(self, seq: int, digest: str) -> None:
        """Record the last event of a commit, durably.

        A crash before this line is on the disk is harmless: the database is then ahead of the file, and
        only a file ahead of the database indicates a loss.
        """
        failpoint("head.append")
        # Opened each time, since another process may have rewritten the file.
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # One write, so that lines of two processes do not mix.
            os.write(handle, f"\n{self._line(Head(seq, digest))}\n".encode())
            failpoint("head.fsync")
            os.fsync(handle)
            large = os.fstat(handle).st_size > LARGE_BYTES
        finally:
            os.close(handle)
        if large and self._compacts:
            # A line that another process writes at this moment may be lost. That is harmless: see above.
            self._rewrite(max(self.read()))

    def reset(self, seq: int, digest: str) -> None:
        """Replace the whole content by this one head."""
        self._rewrite(Head(seq, digest) if seq else Head(0, _NO_EVENT))

    def refuse_unsigned(self) -> None:
        """Raise LedgerError for a writer without a key when the lines are signed."""
        if not self._key and any(head.signature != "-" for head in self.read()):
            raise LedgerError(
                f"{self.path} is signed: set GUARDEDIT_LEDGER_KEY to the key that this ledger was begun with"
            )

    def problems(self, last: int, hashes: Mapping[int, str]) -> Iterator[str]:
        """One sentence for each contradiction between the lines and the database.

        Args:
            last: number of the database's last event, 0 for none.
            hashes: number -> hash in the database, of those events that the lines name.
        """
        heads = self.read()
        # The file is read again: another process may have created both since.
        if last and not heads and not self._read_file():
            yield f"{self.path} is missing or empty, so nothing shows whether events were cut off: {_REMEDY}"
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

    def _read_file(self) -> Sequence[Head]:
        try:
            text = self.path.read_bytes().decode("ascii", "replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise LedgerError(
                f"{self.path} cannot be read: {error.strerror}; check its permissions"
            ) from error
        return list(self._parsed(text))

    def _parsed(self, text: str) -> Iterator[Head]:
        for line in filter(None, (part.strip("\0") for part in text.split("\n"))):
            if found := _LINE.fullmatch(line):
                head = Head(int(found[1]), found[2], found[3])
                self._check_signature(head)
                yield head
            elif not _TORN_LINE.fullmatch(line):
                raise LedgerCorrupt(f"{self.path} is damaged: {line[:80]!r} is not a valid line; {_REMEDY}")

    def _check_signature(self, head: Head) -> None:
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
                f"that it was signed with; if it is set to that key, the file was changed: {_REMEDY}"
            )

    def _line(self, head: Head) -> str:
        return f"{head.seq} {head.hash} {self._signature(head) if self._key else '-'}"

    def _signature(self, head: Head) -> str:
        message = f"guardedit ledger head {head.seq} {head.hash}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def _rewrite(self, head: Head) -> None:
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
