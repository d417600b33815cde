"""Finds the edit card of a base model, and combines card and policy to editing settings.

The policy overrides the card, and the card overrides the defaults. The card is the one that `guardedit locate
sweep` wrote into the home folder for the digest of the base model, else the file in the model's folder.
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

#: Name of the card in the model's folder.
EDIT_CARD = "edit_card.json"
#: Folder of cards in the home folder, one file per base model.
EDIT_CARDS = "edit_cards"


def card_file(settings: Settings, base_sha256: str) -> Path:
    """Path of the card that the sweep writes for a base model."""
    return settings.home / EDIT_CARDS / f"{base_sha256}.json"


def find_card(settings: Settings, base_sha256: str) -> EditCard | None:
    """The card of a base model; None if there is none.

    Raises:
        UsageError: the card cannot be read, or belongs to another model.
    """
    for path in (card_file(settings, base_sha256), model_folder(settings) / EDIT_CARD):
        if path.is_file():
            return read_card(path, base_sha256)
    return None


def write_card(settings: Settings, card: EditCard) -> Path:
    """Write a card to the path where `find_card` looks first. Atomic: readers see the old or the new card.

    Raises:
        UsageError: the card has no digest of a base model.
        StorageFull: the disk is full.
    """
    if card.base_sha256 is None:
        raise UsageError("the edit card has no base_sha256: cards are stored by the base model's digest")
    path = card_file(settings, card.base_sha256)
    replace_file(path, card.text.encode(), step="card")
    return path


def edit_layer(policy: Policy, settings: Settings, card: EditCard | None) -> int:
    """The layer to edit: from the policy, else from the card.

    Raises:
        PolicyError: neither has one.
    """
    layer = known_layer(policy, card)
    if layer is None:
        raise PolicyError(
            f"editing.layer is null and there is no {model_folder(settings) / EDIT_CARD}: "
            "set editing.layer, or let `guardedit locate sweep` choose a layer"
        )
    return layer


def known_layer(policy: Policy, card: EditCard | None) -> int | None:
    """The layer to edit: from the policy, else from the card; None if neither has one."""
    if policy.editing.layer is not None:
        return policy.editing.layer
    return None if card is None else card.layer


def edit_settings(policy: Policy, card: EditCard | None = None) -> EditSettings:
    """Settings of the editing methods: defaults, overridden by the card, overridden by the policy."""
    return EditSettings(**{**({} if card is None else card.edit), **policy_settings(policy, EditSettings)})


def joint_settings(policy: Policy, card: EditCard | None = None) -> JointSettings:
    """Settings of the joint editor, in the same way."""
    return JointSettings(**{**({} if card is None else card.joint), **policy_settings(policy, JointSettings)})


def policy_settings(policy: Policy, kind: type[EditSettings | JointSettings]) -> Mapping[str, Any]:
    """The settings that the policy sets. A card cannot change them."""
    names = {field.name for field in fields(kind)}
    chosen = policy.editing.model_dump(exclude_none=True)
    return {name: value for name, value in chosen.items() if name in names}


def editing_sha256(policy: Policy, settings: Settings, card: EditCard | None) -> str:
    """Digest of all settings that edits depend on."""
    body = [
        edit_layer(policy, settings, card) if policy.writes_weights else known_layer(policy, card),
        None if card is None else card.layers,
        edit_settings(policy, card).sha256,
        asdict(joint_settings(policy, card)),
    ]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read_card(path: Path, base_sha256: str) -> EditCard:
    """The card in a file, for a base model.

    Raises:
        UsageError: the card cannot be read, or belongs to another model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the edit card {path}: {error}") from error
    card = parse_card(text, path)
    # A card written by hand may leave the digest out if it is in the folder of its model.
    if card.base_sha256 not in (None, base_sha256):
        raise UsageError(
            f"{path} is the edit card of another model, {card.base_sha256[:12]}; the one loaded is "
            f"{base_sha256[:12]}: remove it, or make one with `guardedit locate sweep`"
        )
    return card
