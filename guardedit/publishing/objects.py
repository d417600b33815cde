"""An object store, through fsspec: first the objects of an epoch, then one object that names the epoch.

    PREFIX/epochs/e000012-3f0c9a1b/guardedit.json, memory_facts.jsonl, adapter_config.json, ...
    PREFIX/current.json

Only whole objects are written, read and deleted. Nothing is renamed or linked: stores have neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guardedit.core.errors import PublishError
from guardedit.core.failpoints import failpoint
from guardedit.policy.publish import ObjectsDestination
from guardedit.publishing.bundle import MANIFEST, Bundle, bundle_of, compare, is_bundle_name
from guardedit.publishing.destination import ByEpoch, Look

CURRENT, EPOCHS = "current.json", "epochs"
_PIECE_BYTES = 4 * 2**20


class Objects(ByEpoch):
    """See `Destination`. A reader reads `current.json`, then the objects that it names."""

    def __init__(self, section: ObjectsDestination) -> None:
        self.name, self.drain_s, self.keep = section.name, section.drain_s, section.keep
        self._url = section.url.rstrip("/")
        self._opened: tuple[Any, str] | None = None

    def look(self, replica: str) -> Look:
        """The epochs with a manifest, and the one that `current.json` names."""
        del replica
        with self._store("cannot be read") as (store, root):
            try:
                found = [str(path).split("/") for path in store.find(f"{root}/{EPOCHS}")]
            except FileNotFoundError:
                found = []
            # The manifest is written last and deleted first.
            names = frozenset(parts[-2] for parts in found if parts[-1] == MANIFEST)
            return Look(names=names, active=self._active(store, root))

    def prepare(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Write the objects, the manifest last."""
        del replica
        if bundle is None:
            raise PublishError("the files of this epoch are no longer kept")
        with self._store("cannot be written") as (store, root):
            for file in (*sorted(bundle.files), MANIFEST):
                store.put_file(str(bundle.folder / file), f"{root}/{EPOCHS}/{name}/{file}")
                failpoint("publish.object.written")

    def confirm(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Read every object back and compare its digest."""
        del replica
        with self._store("cannot be read") as (store, root):
            folder = f"{root}/{EPOCHS}/{name}"
            paths = {str(path).rpartition("/")[2]: str(path) for path in store.ls(folder, detail=False)}
            raw = store.cat_file(paths.pop(MANIFEST, f"{folder}/{MANIFEST}"))
            found = {file: _sha256(store, path) for file, path in paths.items()}
        written = bundle_of(raw, bundle.folder) if bundle else None
        if bundle is None or written is None or written.manifest_sha256 != bundle.manifest_sha256:
            raise PublishError(f"{self._url}/{EPOCHS}/{name} holds another epoch than was written")
        compare(found, bundle.files, where=f"{self._url}/{EPOCHS}/{name}")

    def activate(self, name: str, epoch: int) -> None:
        """Write the one object that names the active epoch."""
        body = json.dumps({"epoch": epoch, "name": name, "path": f"{EPOCHS}/{name}"}, indent=2) + "\n"
        with self._store("cannot be written") as (store, root):
            store.pipe_file(f"{root}/{CURRENT}", body.encode())
            if store.cat_file(f"{root}/{CURRENT}") != body.encode():
                raise PublishError(f"{self._url}/{CURRENT} was overwritten by another program")

    def retire(self, replica: str, name: str, *, last: bool) -> None:
        """Delete the objects of an epoch, the manifest first, unless `current.json` names it."""
        del replica, last
        if not is_bundle_name(name):
            return
        with self._store("cannot be written") as (store, root):
            if self._active(store, root) == name:
                raise PublishError(f"{self._url}/{CURRENT} names {name}: it is not deleted")
            folder = f"{root}/{EPOCHS}/{name}"
            try:
                paths = [str(path) for path in store.ls(folder, detail=False)]
            except FileNotFoundError:
                return
            for path in sorted(paths, key=lambda path: not path.endswith(f"/{MANIFEST}")):
                store.rm_file(path)
                failpoint("publish.object.deleted")

    def _active(self, store: Any, root: str) -> str:
        try:
            return str(json.loads(store.cat_file(f"{root}/{CURRENT}"))["name"])
        except FileNotFoundError:
            return ""
        except (ValueError, TypeError, KeyError):
            return ""  # not ours, or cut off: it is written anew

    @contextmanager
    def _store(self, what: str) -> Iterator[tuple[Any, str]]:
        """The store and the path of the prefix in it. Whatever a store raises becomes a PublishError."""
        try:
            if self._opened is None:
                self._opened = _open(self._url)
            store, root = self._opened
            store.invalidate_cache()
            yield store, root
        except PublishError:
            raise
        except Exception as error:
            raise PublishError(f"{self._url} {what}: {error!r:.300}") from error


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise PublishError(f"{url} needs the package fsspec: pip install 'guardedit[publish]'") from error
    try:
        # Without the listings of others in this process, which may be old. Of all stores only a local file
        # system has folders to make.
        more = {"auto_mkdir": True} if url.startswith(("file://", "local://")) else {}
        store, root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **more)
    except ImportError as error:
        raise PublishError(f"{url} needs another package: {error}") from error
    return store, str(root).rstrip("/")


def _sha256(store: Any, path: str) -> str:
    digest = hashlib.sha256()
    with store.open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
