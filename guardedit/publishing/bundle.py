"""What is published of one epoch: a folder with an adapter, facts, and a manifest with their digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from guardedit.core.errors import PublishError

#: The names of the files in an export as well.
MANIFEST: Final = "guardedit.json"
MEMORY_FACTS: Final = "memory_facts.jsonl"
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
#: A manifest has the facts in the weights, so it may be long; a larger one is not ours.
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A folder whose files are what its manifest says.

    Attributes:
        folder: where it lies.
        epoch: number of the epoch.
        weights_sha256: digest of the epoch's weights.
        state_sha256: digest of the epoch's weights and facts.
        manifest_sha256: digest of the manifest, and through it of every file.
        files: name -> digest of each file but the manifest.
    """

    folder: Path
    epoch: int
    weights_sha256: str
    state_sha256: str
    manifest_sha256: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """Unique for the content."""
        return f"e{self.epoch:06d}-{self.manifest_sha256[:8]}"

    @property
    def has_adapter(self) -> bool:
        """Whether facts are in the weights. If not, there are only facts for the memory."""
        return ADAPTER_WEIGHTS in self.files


def is_bundle_name(name: str) -> bool:
    """Whether `name` can be that of a bundle, and not the id of a model or a path."""
    return re.fullmatch(r"e\d{6,}-[0-9a-f]{8}", name) is not None


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write the manifest of the files in `folder`, with fields of the epoch. The same bytes each time."""
    files = {
        path.name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    text = json.dumps({**fields, "files": files}, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, with every digest checked.

    Raises:
        PublishError: a file is missing, too many, or other than the manifest says.
    """
    try:
        raw = _read_manifest(folder / MANIFEST)
        found = {path.name: file_sha256(path) for path in folder.iterdir() if path.name != MANIFEST}
    except OSError as error:
        raise PublishError(f"{folder} cannot be read: {error.strerror or error}") from error
    bundle = bundle_of(raw, folder)
    compare(found, bundle.files, where=str(folder))
    return bundle


def bundle_of(manifest: bytes, folder: Path) -> Bundle:
    """The bundle that a manifest describes; PublishError where it is none."""
    try:
        body = json.loads(manifest)
        return Bundle(
            folder=folder,
            epoch=int(body["epoch"]),
            weights_sha256=str(body["weights_sha256"]),
            state_sha256=str(body["state_sha256"]),
            manifest_sha256=hashlib.sha256(manifest).hexdigest(),
            files={str(name): str(one["sha256"]) for name, one in body["files"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PublishError(f"the {MANIFEST} in {folder} is none of guardedit's: {error!r:.200}") from error


def compare(found: Mapping[str, str], expected: Mapping[str, str], *, where: str) -> None:
    """Raise PublishError unless the files found, by their digests, are exactly the expected ones."""
    for name in sorted({*found, *expected}):
        if name not in found:
            raise PublishError(f"{where}: the file {name} is missing")
        if name not in expected:
            raise PublishError(f"{where}: the file {name:.200} does not belong there")
        if found[name] != expected[name]:
            raise PublishError(f"{where}: the file {name} has other bytes than were written")


def file_sha256(path: Path) -> str:
    """Digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise PublishError(f"{path} is larger than {_MOST_BYTES} bytes")
    return raw
