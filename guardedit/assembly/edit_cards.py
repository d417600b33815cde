"""The edit card that is in force for a base model, and what follows from it and the policy.

The order of authority is policy, card, the dials' own defaults. A card is found by the digest of the base
model: what `guardedit locate sweep` wrote into the home folder, else the file in the model's folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from guardedit.assembly.model_files import model_folder
from guardedit.core.durable import replace_file
from guardedit.core.errors import PolicyError, UsageError
from guardedit.editing.edit_card import EditCard, parse_card
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: In the model's folder.
EDIT_CARD = "edit_card.json"
#: In the home folder, one file a base model.
EDIT_CARDS = "edit_cards"


def card_file(settings: Settings, base_sha256: str) -> Path:
    """Where the sweep writes its card of a base model."""
    return settings.home / EDIT_CARDS / f"{base_sha256}.json"


def find_card(settings: Settings, base_sha256: str) -> EditCard | None:
    """The card of a base model; None where nobody made one.

    Raises:
        UsageError: for a card that cannot be read, or one that names another model.
    """
    for path in (card_file(settings, base_sha256), model_folder(settings) / EDIT_CARD):
        if path.is_file():
            return _read(path, base_sha256)
    return None


def write_card(settings: Settings, card: EditCard) -> Path:
    """Put a card where `find_card` looks first; a reader sees the old file or the new one.

    Raises:
        UsageError: for a card without the digest of a base model.
        StorageFull: when the disk refuses.
    """
    if card.base_sha256 is None:
        raise UsageError("a card is kept by the digest of its base model, and this one names none")
    path = card_file(settings, card.base_sha256)
    replace_file(path, card.json.encode(), step="card")
    return path


def edit_layer(policy: Policy, settings: Settings, card: EditCard | None) -> int:
    """The layer to edit: the policy's, else the card's.

    Raises:
        PolicyError: when neither names one.
    """
    if policy.editing.layer is not None:
        return policy.editing.layer
    if card is None:
        raise PolicyError(
            f"editing.layer is null and there is no {model_folder(settings) / EDIT_CARD}: "
            "set editing.layer, or let `guardedit locate sweep` choose"
        )
    return card.layer


def edit_settings(policy: Policy, card: EditCard | None = None) -> EditSettings:
    """The editing methods' dials: their own, with what the card and above it the policy say instead."""
    return EditSettings(**{**({} if card is None else card.edit), **policy_dials(policy, EditSettings)})


def joint_settings(policy: Policy, card: EditCard | None = None) -> JointSettings:
    """The same for the joint editor."""
    return JointSettings(**{**({} if card is None else card.joint), **policy_dials(policy, JointSettings)})


def policy_dials(policy: Policy, dials: type[EditSettings | JointSettings]) -> Mapping[str, Any]:
    """The dials that the policy sets, which no card can change."""
    names = {item.name for item in fields(dials)}
    said = policy.editing.model_dump(exclude_none=True)
    return {name: value for name, value in said.items() if name in names}


def editing_sha256(policy: Policy, settings: Settings, card: EditCard | None) -> str:
    """Digest of where and how edits are made: edits made otherwise are other edits."""
    body = [
        edit_layer(policy, settings, card),
        None if card is None else card.layers,
        edit_settings(policy, card).sha256,
        asdict(joint_settings(policy, card)),
    ]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read(path: Path, base_sha256: str) -> EditCard:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the edit card {path}: {error}") from error
    card = parse_card(text, path)
    # A card written by hand beside the weights may leave the digest out: it lies with its model.
    if card.base_sha256 not in (None, base_sha256):
        raise UsageError(
            f"{path} is the edit card of another model, {card.base_sha256[:12]}; the one loaded is "
            f"{base_sha256[:12]}: remove it, or make one with `guardedit locate sweep`"
        )
    return card
