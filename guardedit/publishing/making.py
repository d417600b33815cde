"""Makes bundles from the ledger and keeps them, so that a publisher that starts again has the same bytes.

HOME/publish/epochs/e000012/         the bundle of an epoch that is being published
HOME/publish/adapters/WEIGHTS/       adapters of the last few weights, so that a rollback computes nothing
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardedit.core.errors import EditError, PublishError, UsageError, WrongBaseModel
from guardedit.core.fact import Placement
from guardedit.core.serving import Snapshot
from guardedit.policy.schema import Policy
from guardedit.publishing.bundle import MANIFEST, MEMORY_FACTS, Bundle, read_bundle, write_manifest
from guardedit.publishing.folders import discard, placing, translated
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.models.host import ModelHost
    from guardedit.models.weights.fold import Fold

#: Folder in the home folder.
PUBLISH: Final = "publish"
#: Adapters of so many different weights are kept.
_KEPT_ADAPTERS = 4

#: Writes the adapter of an epoch with edits into an empty folder.
WriteAdapter = Callable[[Snapshot, Path], None]


class BundleMaker:
    """Makes the bundle of an epoch, or finds it.

    Args:
        folder: where bundles and adapters are kept.
        write_adapter: called at most once for the same weights, as long as their adapter is kept.
    """

    def __init__(self, folder: Path, write_adapter: WriteAdapter) -> None:
        self._folder, self._write_adapter = folder, write_adapter
        # The weights that could not be made into an adapter last, and why.
        self._refused: dict[str, EditError | UsageError] = {}

    def bundle(self, snapshot: Snapshot, *, in_use: Collection[int] = ()) -> Bundle:
        """The bundle of an epoch; the same bytes each time. Deletes the others but those in use, by epoch.

        Raises:
            EditError: an edit cannot become an adapter.
            UsageError: the edits do not fold to the recorded weights.
            PublishError: the folder cannot be written.
        """
        epochs, number = self._folder / "epochs", snapshot.epoch.number
        target = epochs / _folder_name(number)
        with suppress(PublishError):
            if target.is_dir() and (found := read_bundle(target)).state_sha256 == snapshot.epoch.state_sha256:
                return found
        with translated(f"cannot keep bundles in {self._folder}"):
            adapter = self._adapter(snapshot) if snapshot.edits else None
        with placing(target) as part:
            for path in sorted(adapter.iterdir()) if adapter else ():
                if path.name != MANIFEST:
                    _link(path, part / path.name)
            rows = {
                place: [fact.exported() for fact in snapshot.facts if fact.placement is place]
                for place in Placement
            }
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows[Placement.MEMORY])
            (part / MEMORY_FACTS).write_text("".join(lines), encoding="utf-8")
            write_manifest(
                part,
                {
                    "epoch": number,
                    "base_sha256": snapshot.epoch.base_sha256,
                    "weights_sha256": snapshot.epoch.weights_sha256,
                    "state_sha256": snapshot.epoch.state_sha256,
                    "facts_in_weights": rows[Placement.WEIGHTS],
                    "facts_in_memory": len(rows[Placement.MEMORY]),
                },
            )
        kept = {_folder_name(one) for one in (number, *in_use)}
        with translated(f"cannot read {epochs}"):
            for path in epochs.iterdir():
                if path.name not in kept:
                    discard(path)
        return read_bundle(target)

    def _adapter(self, snapshot: Snapshot) -> Path:
        """The folder with the adapter of the epoch's weights; a manifest says whether it is whole."""
        adapters = self._folder / "adapters"
        target = adapters / snapshot.epoch.weights_sha256
        try:
            read_bundle(target)
        except PublishError:  # there is none, or its files are not what was written
            with placing(target) as part:
                self._written(snapshot, part)
                epoch = snapshot.epoch
                fields = {"weights_sha256": epoch.weights_sha256, "state_sha256": epoch.state_sha256}
                write_manifest(part, {"epoch": epoch.number, **fields})
        os.utime(target)
        kept = sorted(
            (one for one in adapters.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime
        )
        for path in kept[:-_KEPT_ADAPTERS]:
            discard(path)
        return target

    def _written(self, snapshot: Snapshot, folder: Path) -> None:
        """Write the adapter. A refusal is remembered: folding the same edits again would end the same."""
        weights = snapshot.epoch.weights_sha256
        if refusal := self._refused.get(weights):
            raise type(refusal)(str(refusal))
        try:
            self._write_adapter(snapshot, folder)
        except (EditError, UsageError) as error:
            self._refused = {weights: error}
            raise


class AdapterWriter:
    """Writes adapters with the model of the settings, which is loaded at the first call and kept.

    Args:
        settings: model and home folder.
        policy: its editing section, with which the edits were made.
    """

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._settings, self._policy = settings, policy
        self._loaded: tuple[ModelHost, Fold] | None = None

    def __call__(self, snapshot: Snapshot, folder: Path) -> None:
        """Write the adapter of an epoch.

        Raises:
            WrongBaseModel: the ledger belongs to another model.
            UsageError: the edits do not fold to the recorded weights.
            EditError: an edit cannot become an adapter.
        """
        from guardedit import assembly
        from guardedit.assembly.model_files import model_folder
        from guardedit.models.export.adapter import adapter_of, write_adapter_files
        from guardedit.models.weights.folded import require_recorded

        if self._loaded is None:
            assembly.require_unchanged_base(self._settings)
            loaded = assembly.load_host(self._settings)
            self._loaded = loaded, assembly.served_fold(self._settings, self._policy, loaded)
        host, fold = self._loaded
        epoch = snapshot.epoch
        if host.base_sha256 != epoch.base_sha256:
            raise WrongBaseModel(
                f"the ledger belongs to base model {epoch.base_sha256[:12]}, the loaded one is "
                f"{host.base_sha256[:12]}: set GUARDEDIT_MODEL or --model"
            )
        folded = fold.folded(snapshot.edits)
        require_recorded(folded.sha256, epoch)
        adapter = adapter_of(host, folded.patch)
        write_adapter_files(host, adapter, folder, base=str(model_folder(self._settings)))


def _folder_name(number: int) -> str:
    return f"e{number:06d}"


def _link(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
