"""Content-addressed files under `objects/`: written atomically, and verified each time they are read.

The content is opaque here. A blob counts only once a committed row names its digest. A blob that no row names
is left over from a crash and does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from guardedit.core.durable import sync_folder
from guardedit.core.errors import LedgerCorrupt
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.database import translated_errors

_UNFINISHED = ".tmp-"


class Blobs:
    """The `objects/` folder of one ledger."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """The file of a sha256 digest."""
        return self._folder / digest[:2] / digest[2:]

    def put(self, payloads: Iterable[bytes]) -> None:
        """Make every payload durable under its digest. Call it before a row names the digest.

        Raises:
            StorageFull: no space, or the disk failed; unfinished files are removed.
        """
        # A file name is durable only when its folder is synced. All parent folders are synced, because an
        # earlier process may have created one and crashed before it synced it.
        folders: set[Path] = set()
        with translated_errors(self._folder):
            for payload in payloads:
                target = self.path(hashlib.sha256(payload).hexdigest())
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, payload)
                folders |= {target.parent, self._folder, self._folder.parent}
            for folder in sorted(folders, reverse=True):
                failpoint("blob.dirsync")
                sync_folder(folder)

    def get(self, digest: str) -> bytes:
        """The payload of a digest.

        Raises:
            LedgerCorrupt: the file is missing or has other content.
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
        """Whether there is any blob, finished or not."""
        return any(self._folder.glob("*/*"))

    def sweep(self) -> None:
        """Remove unfinished files of a crash. Only for the one process that writes blobs."""
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
        # Also replaces a damaged file of the same name.
        unfinished.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
