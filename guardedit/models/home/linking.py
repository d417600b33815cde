"""Links the files of a user's folder into the models' home, and digests the small files of a model."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from guardedit.core.errors import UsageError
from guardedit.models.home.prepared import PREPARED_FILES, PREPARED_PAGE
from guardedit.models.home.record import MODEL_RECORD

#: Larger files are weights, which `base_sha256` covers.
SMALL_BYTES = 64_000_000
_LICENCE = re.compile(r"^license:\s*['\"]?([^'\"\n]+)", re.MULTILINE)


def link_files(source: Path, folder: Path) -> None:
    """Make a link in `folder` to every file and folder in `source`, except hidden ones.

    Gigabytes are not copied. A file that is later written into `folder` replaces its link, so the user's
    folder stays as it is.
    """
    for path in sorted(source.iterdir()):
        if not path.name.startswith(".") and path.name != MODEL_RECORD:
            (folder / path.name).symlink_to(path)


def dangling_links(folder: Path) -> list[str]:
    """Names of links in a model's folder whose files are gone."""
    return [path.name for path in sorted(folder.iterdir()) if path.is_symlink() and not path.exists()]


def folder_licence(folder: Path) -> str:
    """The licence that the head of a folder's README.md states; empty where there is none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = _LICENCE.search(text[:10_000])
    return found[1].strip() if found else ""


def small_digests(folder: Path) -> dict[str, str]:
    """Name -> sha256 of a model's small files, without those that `model prepare` makes."""
    return {
        path.name: hashlib.sha256(_read(path)).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file()
        and path.name not in {MODEL_RECORD, *PREPARED_FILES, PREPARED_PAGE}
        and path.stat().st_size < SMALL_BYTES
    }


def changed_files(folder: Path, recorded: dict[str, str]) -> list[str]:
    """Names of recorded files that are missing or have other bytes now."""
    now = small_digests(folder)
    return [name for name, sha256 in sorted(recorded.items()) if now.get(name) != sha256]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; make it readable") from error
