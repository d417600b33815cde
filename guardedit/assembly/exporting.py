"""Exports the serving epoch: as a model folder, or as an adapter of the base model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardedit.assembly.loading import LoadedModel, borrowed_cache, load_model
from guardedit.assembly.model_files import model_folder
from guardedit.core.fact import Placement
from guardedit.core.ledger import Ledger
from guardedit.core.serving import Snapshot
from guardedit.models.export.adapter import AdapterCheck, adapter_of, check_adapter, write_gguf, write_peft
from guardedit.models.export.folder import export_model, refuse_used
from guardedit.models.weights.folded import Folded, require_recorded
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Statements of facts on which an adapter is compared with the edited model.
CHECKED_TEXTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        epoch: the epoch in it.
        weights_sha256: digest of the edited weights.
        facts_in_weights, facts_in_memory: number of facts of each placement.
        rank: of the adapter; 0 for a model folder.
        check: how far the adapter is from the edited model; None for a model folder.
    """

    folder: Path
    epoch: int
    weights_sha256: str
    facts_in_weights: int
    facts_in_memory: int
    rank: int = 0
    check: AdapterCheck | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A loaded model with the serving epoch folded."""

    loaded: LoadedModel
    snapshot: Snapshot
    folded: Folded

    @property
    def manifest(self) -> dict[str, Any]:
        epoch = self.snapshot.epoch
        return {
            "epoch": epoch.number,
            "base_sha256": epoch.base_sha256,
            "weights_sha256": self.folded.sha256,
            "state_sha256": epoch.state_sha256,
            "facts_in_weights": self.rows(Placement.WEIGHTS),
            "facts_in_memory": len(self.rows(Placement.MEMORY)),
        }

    def rows(self, placement: Placement) -> list[dict[str, object]]:
        return [fact.exported() for fact in self.snapshot.facts if fact.placement is placement]

    def exported(self, folder: Path, *, rank: int = 0, check: AdapterCheck | None = None) -> Exported:
        return Exported(
            folder=folder,
            epoch=self.snapshot.epoch.number,
            weights_sha256=self.folded.sha256,
            facts_in_weights=len(self.rows(Placement.WEIGHTS)),
            facts_in_memory=len(self.rows(Placement.MEMORY)),
            rank=rank,
            check=check,
        )


def export_epoch(settings: Settings, policy: Policy, ledger: Ledger, folder: Path) -> Exported:
    """Write the base model with the serving epoch's edits into `folder`.

    Loads a second model, so that serving continues meanwhile.

    Raises:
        UsageError: the edits do not fold to the recorded weights.
        EditError, UsageError, StorageFull: as `export_model`.
    """
    with _opened(settings, policy, ledger, folder) as found:
        export_model(
            found.loaded.host,
            found.folded.patch,
            folder,
            manifest=found.manifest,
            memory_facts=found.rows(Placement.MEMORY),
        )
        return found.exported(folder)


def export_adapter(
    settings: Settings, policy: Policy, ledger: Ledger, folder: Path, *, gguf: bool = False
) -> Exported:
    """Write the serving epoch's edits as one LoRA adapter, for PEFT and vLLM or, with `gguf`, for llama.cpp.

    The adapter is compared with the edited model on statements of the epoch's facts.

    Raises:
        UsageError: the edits do not fold to the recorded weights.
        EditError, UsageError, StorageFull: as `write_peft` and `write_gguf`.
    """
    with _opened(settings, policy, ledger, folder) as found:
        host, patch = found.loaded.host, found.folded.patch
        adapter = adapter_of(host, patch)
        records: dict[str, Any] = {
            "manifest": found.manifest,
            "memory_facts": found.rows(Placement.MEMORY),
        }
        if gguf:
            config = host.model.config.get_text_config()
            write_gguf(adapter, folder, architecture=config.model_type, layers=host.layers, **records)
        else:
            write_peft(host, adapter, folder, base=str(model_folder(settings)), **records)
        check = check_adapter(host, patch, adapter, _texts(found.snapshot))
        return found.exported(folder, rank=next(iter(adapter.values())).rank, check=check)


@contextmanager
def _opened(settings: Settings, policy: Policy, ledger: Ledger, folder: Path) -> Iterator[_Opened]:
    refuse_used(folder)
    snapshot = ledger.snapshot()
    with borrowed_cache(settings) as cache:
        loaded = load_model(settings, policy, cache=cache)
        folded = loaded.fold.folded(snapshot.edits)
        require_recorded(folded.sha256, snapshot.epoch)
        yield _Opened(loaded, snapshot, folded)


def _texts(snapshot: Snapshot) -> list[str]:
    """Statements of the facts, those in the weights first."""
    facts = sorted(snapshot.facts, key=lambda fact: fact.placement is Placement.MEMORY)
    return [f"{fact.prompt} {fact.target}." for fact in facts[:CHECKED_TEXTS]]
