"""The files that `guardedit model prepare` makes for a model, and those that come with the project."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from guardedit.core.durable import replace_file

#: What a model that is prepared has in its folder.
PREPARED_FILES = ("edit_card.json", "memory_card.json", "noise.json", "probes.json", "background.json")
#: The page that `model prepare` writes about what it found.
PREPARED_PAGE = "prepared.md"


def missing_files(folder: Path) -> list[str]:
    """Names of the prepared files that a model's folder lacks."""
    return [name for name in PREPARED_FILES if not (folder / name).is_file()]


def prepared_state(folder: Path) -> str:
    """`yes`, `no`, or `partly`."""
    missing = missing_files(folder)
    if not missing:
        return "yes"
    return "no" if len(missing) == len(PREPARED_FILES) else "partly"


def shipped_folder(name: str) -> Path:
    """Folder of the prepared files that come with the project for a model; it may be missing."""
    return Path(str(files("guardedit"))) / "zoo" / "prepared" / name


def copy_shipped(shipped: Path, folder: Path, base_sha256: str) -> str:
    """Copy prepared files that were made for exactly this model; returns a sentence about what was done.

    The edit card or the record in `shipped` says for which model they were made.
    """
    if not shipped.is_dir():
        return "no prepared files come with the project for this model"
    made_for = _made_for(shipped)
    if made_for != base_sha256:
        return (
            f"the prepared files that come with the project were made for other weights "
            f"({made_for[:12] or 'unknown'}, these are {base_sha256[:12]}) and were not copied"
        )
    copied = [path for path in sorted(shipped.iterdir()) if path.is_file() and path.name != "model.json"]
    for path in copied:
        # Not by copying: a file of this name may be a link to one in the user's own folder.
        replace_file(folder / path.name, path.read_bytes(), step="model")
    return f"{len(copied)} prepared files that come with the project were copied"


def _made_for(shipped: Path) -> str:
    """The base_sha256 in the first of the shipped files that has one; else empty."""
    for name in ("model.json", *PREPARED_FILES):
        try:
            found = json.loads((shipped / name).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("base_sha256"):
            return str(found["base_sha256"])
    return ""
