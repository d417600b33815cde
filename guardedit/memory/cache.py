"""The indexes of all tenants on disk: one file each and a manifest that names their digests.

A cache and nothing more. Whoever saves keeps the returned digest in a place that is trusted, such as the
ledger; with it a changed file or manifest is noticed before FAISS sees a byte.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.index import KeyIndex

MANIFEST = "memory.json"


def save_indexes(indexes: Mapping[str, KeyIndex], folder: Path, *, encoder_sha256: str) -> str:
    """Write every index, then the manifest; returns the manifest's sha256.

    Raises:
        MemoryIndexError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = {
            tenant: [_file(tenant), index.save(folder / _file(tenant))] for tenant, index in indexes.items()
        }
        body = json.dumps({"encoder_sha256": encoder_sha256, "tenants": rows}, sort_keys=True).encode()
        aside = folder / f"{MANIFEST}.{os.getpid()}.tmp"
        aside.write_bytes(body)
        aside.replace(folder / MANIFEST)
    except OSError as error:
        raise MemoryIndexError(f"memory cache {folder} cannot be written: {error}") from error
    return hashlib.sha256(body).hexdigest()


def load_indexes(folder: Path, *, sha256: str, encoder_sha256: str) -> dict[str, KeyIndex]:
    """Tenant -> index, as saved.

    Raises:
        MemoryIndexError: anything missing, changed, or made with another encoder.
    """
    path = folder / MANIFEST
    try:
        body = path.read_bytes()
    except OSError as error:
        raise MemoryIndexError(f"memory cache {path} cannot be read ({error}): rebuild it") from error
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise MemoryIndexError(f"memory cache {path} has sha256 {found}, expected {sha256}: rebuild it")
    manifest = json.loads(body)
    if manifest["encoder_sha256"] != encoder_sha256:
        raise MemoryIndexError(f"memory cache {path} was made with another encoder: rebuild it")
    return {
        tenant: KeyIndex.load(folder / file, sha256=digest)
        for tenant, (file, digest) in manifest["tenants"].items()
    }


def _file(tenant: str) -> str:
    # Scopes are free text and may not name paths.
    return f"{hashlib.sha256(tenant.encode()).hexdigest()[:24]}.faiss"
