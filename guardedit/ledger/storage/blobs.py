"""Content-addressed files under `objects/`: written whole or not at all, verified whenever they are read.

Knows nothing of what the bytes mean. A blob counts only once a committed row names it; one that no row
names is left over from a crash and does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from guardedit.core.errors import LedgerCorrupt
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.database import translated
from guardedit.ledger.storage.durable import sync_folder

_UNFINISHED = ".tmp-"


class Blobs:
    """The `objects/` folder of one ledger."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Where the blob of a sha256 digest lies."""
        return self._folder / digest[:2] / digest[2:]

    def put(self, payloads: Iterable[bytes]) -> None:
        """Make every payload durable under its digest, before any row names it.

        Raises:
            StorageFull: no space, or the disk failed; unfinished files are removed.
        """
        # A name is durable only when its folder is. Whoever made a folder may have died before it was.
        folders: set[Path] = set()
        with translated(self._folder):
            for payload in payloads:
                target = self.path(hashlib.sha256(payload).hexdigest())
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, payload)
                folders |= {target.parent, self._folder, self._folder.parent}
            for folder in sorted(folders, reverse=True):
                failpoint("blob.dirsync")
                sync_folder(folder)

    def get(self, digest: str) -> bytes:
        """The payload.

        Raises:
            LedgerCorrupt: the file is missing or holds other bytes.
        """
        path = self.path(digest)
        try:
            payload = path.read_bytes()
        except FileNotFoundError:
            raise LedgerCorrupt(f"blob {path} is missing: restore it from a backup") from None
        except OSError as error:
            raise LedgerCorrupt(f"blob {path} cannot be read: {error}; restore it from a backup") from error
        found = hashlib.sha256(payload).hexdigest()
        if found != digest:
            raise LedgerCorrupt(
                f"blob {path} holds {len(payload)} bytes with sha256 {found[:12]}, "
                f"expected {digest[:12]}: restore it from a backup"
            )
        return payload

    def any(self) -> bool:
        """Whether there is any file at all."""
        return any(self._folder.glob("*/*"))

    def sweep(self) -> None:
        """Remove what a crash left half written. Only for the one process that writes."""
        for path in self._folder.glob(f"*/{_UNFINISHED}*"):
            path.unlink(missing_ok=True)


def _write(target: Path, payload: bytes) -> None:
    unfinished = target.with_name(f"{_UNFINISHED}{target.name}")
    try:
        with unfinished.open("wb") as file:
            half = len(payload) // 2
            file.write(payload[:half])
            file.flush()
            failpoint("blob.write-half")
            file.write(payload[half:])
            file.flush()
            failpoint("blob.fsync")
            os.fsync(file.fileno())
        failpoint("blob.rename")
        # Replaces a damaged file of the same name as well.
        unfinished.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
