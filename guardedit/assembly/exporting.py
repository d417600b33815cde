"""Exports the serving epoch as a model folder."""

from __future__ import annotations

from pathlib import Path

from guardedit.assembly.loading import borrowed_cache, load_model
from guardedit.core.fact import Fact, Placement
from guardedit.core.ledger import Ledger
from guardedit.models.exporting import export_model, refuse_used
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


def export_epoch(settings: Settings, policy: Policy, ledger: Ledger, folder: Path) -> Path:
    """Write the base model with the serving epoch's edits into `folder`; returns the folder.

    Loads a second model, so that serving continues meanwhile.

    Raises:
        EditError, UsageError, StorageFull: as `export_model`.
    """
    refuse_used(folder)
    snapshot = ledger.snapshot()
    with borrowed_cache(settings) as cache:
        loaded = load_model(settings, policy, cache=cache)
        folded = loaded.fold.folded(snapshot.edits)
    placed = {placement: [f for f in snapshot.facts if f.placement is placement] for placement in Placement}
    export_model(
        loaded.host,
        folded.patch,
        folder,
        manifest={
            "epoch": snapshot.epoch.number,
            "base_sha256": snapshot.epoch.base_sha256,
            "weights_sha256": folded.sha256,
            "state_sha256": snapshot.epoch.state_sha256,
            "facts_in_weights": [_row(fact) for fact in placed[Placement.WEIGHTS]],
            "facts_in_memory": len(placed[Placement.MEMORY]),
        },
        memory_facts=[_row(fact) for fact in placed[Placement.MEMORY]],
    )
    return folder


def _row(fact: Fact) -> dict[str, object]:
    return {
        "id": fact.id,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "tenant": fact.key.tenant,
        "prompt": fact.prompt,
        "target": fact.target,
        "wordings": list(fact.wordings),
    }
