"""A directory: one folder for each epoch, and a link `current` to the active one.

current -> epochs/e000012-3f0c9a1b
epochs/e000012-3f0c9a1b/guardedit.json, memory_facts.jsonl, adapter_config.json, ...
"""

from __future__ import annotations

from pathlib import Path

from guardedit.core.durable import sync_folder
from guardedit.core.errors import PublishError
from guardedit.core.failpoints import failpoint
from guardedit.policy.publish import DirectoryDestination
from guardedit.publishing.bundle import MANIFEST, Bundle, is_bundle_name, read_bundle
from guardedit.publishing.destination import ByEpoch, Look
from guardedit.publishing.folders import discard, place, translated

CURRENT, EPOCHS = "current", "epochs"


class Directory(ByEpoch):
    """See `Destination`. A reader that opened `current` keeps its files until they are retired."""

    def __init__(self, section: DirectoryDestination) -> None:
        self.name, self.drain_s, self.keep = section.name, section.drain_s, section.keep
        self._folder = Path(section.path)

    def look(self, replica: str) -> Look:
        """The folders under `epochs` that have a manifest, and where `current` points."""
        del replica
        with translated(f"cannot read {self._folder}"):
            found = (path.parent.name for path in self._folder.glob(f"{EPOCHS}/*/{MANIFEST}"))
            names = frozenset(name for name in found if not name.startswith("."))
            return Look(names=names, active=self._active())

    def prepare(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Copy the files; the folder appears complete and synced, or not at all."""
        del replica
        place(_required(bundle), self._path(name))

    def confirm(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Read every file back and compare its digest."""
        del replica
        if read_bundle(self._path(name)).manifest_sha256 != _required(bundle).manifest_sha256:
            raise PublishError(f"{self._path(name)} holds another epoch than was written")

    def activate(self, name: str, epoch: int) -> None:
        """Replace the link by a new one, which the file system does at one moment."""
        del epoch
        link, new = self._folder / CURRENT, self._folder / f".{CURRENT}.part"
        if link.exists() and not link.is_symlink():
            raise PublishError(f"{link} is not a link: move it away, it is not guardedit's")
        with translated(f"cannot write {link}"):
            new.unlink(missing_ok=True)
            new.symlink_to(Path(EPOCHS) / name, target_is_directory=True)
            failpoint("publish.link.rename")
            new.replace(link)
            sync_folder(self._folder)

    def retire(self, replica: str, name: str, *, last: bool) -> None:
        """Delete a folder, unless the link points to it."""
        del replica, last
        if not is_bundle_name(name):
            return
        with translated(f"cannot read {self._folder}"):
            active = self._active()
        if active == name:
            raise PublishError(f"{self._folder / CURRENT} points to {name}: it is not deleted")
        discard(self._path(name))

    def _active(self) -> str:
        """The name that the link points to; "" without a link of ours."""
        link = self._folder / CURRENT
        if not link.is_symlink():
            return ""
        target = link.readlink()
        return target.name if target.parent == Path(EPOCHS) else ""

    def _path(self, name: str) -> Path:
        return self._folder / EPOCHS / name


def _required(bundle: Bundle | None) -> Bundle:
    if bundle is None:
        raise PublishError("the files of this epoch are no longer kept")
    return bundle
