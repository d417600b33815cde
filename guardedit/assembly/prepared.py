"""Checks that a model's folder has what a policy needs that routes facts to the weights.

Reads names of files only. A policy that never routes to the weights needs nothing but the model.
"""

from __future__ import annotations

from guardedit.assembly.edit_cards import EDIT_CARD, EDIT_CARDS
from guardedit.assembly.model_files import model_folder, probe_file
from guardedit.core.errors import UsageError
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


def require_prepared(settings: Settings, policy: Policy) -> None:
    """Check that the model has a layer to edit and probes. Called before the model is loaded.

    Raises:
        UsageError: the policy routes to the weights and something is missing; names all of it, and the
            command that makes it.
    """
    missing = missing_parts(settings, policy)
    if not missing:
        return
    name = settings.model or "MODEL"
    raise UsageError(
        f"the policy {settings.policy.name} routes facts to the weights, and the model in "
        f"{model_folder(settings)} is not prepared for that; missing: {'; '.join(missing)}. "
        f"`guardedit model prepare {name}` makes all of it; or use the policy memory-only, which needs "
        "nothing but the model"
    )


def missing_parts(settings: Settings, policy: Policy) -> list[str]:
    """What the policy needs and the model's folder lacks, a few words each; empty if nothing is missing."""
    if not policy.writes_weights or not (model_folder(settings) / "config.json").is_file():
        return []  # loading says that it is no model folder
    missing = []
    cards = settings.home / EDIT_CARDS
    has_card = (model_folder(settings) / EDIT_CARD).is_file() or any(cards.glob("*.json"))
    if policy.editing.layer is None and not has_card:
        missing.append(f"a layer to edit ({EDIT_CARD}, or editing.layer in the policy)")
    if not probe_file(settings).is_file():
        missing.append(f"a probe set ({probe_file(settings)})")
    return missing
