"""What `guardedit.Editor` needs besides the model: its edit card, layers, settings and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from guardedit.assembly.edit_cards import EDIT_CARD, read_card
from guardedit.assembly.model_files import BACKGROUND, TOKENS_PER_DIMENSION, model_folder, read_background
from guardedit.core.errors import UsageError
from guardedit.editing.edit_card import EditCard, parse_card
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.models.background import background_texts
from guardedit.models.host import ModelHost
from guardedit.models.loading import load_model
from guardedit.settings import Settings


def demo_model() -> tuple[Any, Any]:
    """The embedded demo model and its tokenizer, as transformers objects: 5M parameters, for trying out."""
    return load_model(model_folder(Settings()), device="cpu", dtype=torch.float32)


def find_card(folder: Path | None, base_sha256: str) -> EditCard | None:
    """The edit card in a model's folder; UsageError if it cannot be read or belongs to another model."""
    path = folder and folder / EDIT_CARD
    return read_card(path, base_sha256) if path and path.is_file() else None


def edited_layers(
    layer: int | None, layers: Sequence[int] | None, card: EditCard | None
) -> tuple[int, tuple[int, ...]]:
    """The layer for methods that edit one layer, and the layers for methods that edit several."""
    several = tuple(sorted({*layers})) if layers else ()
    if layer is None and several:
        layer = several[-1]
    if layer is None and card is None:
        raise UsageError(
            "no layer is named and the model has no edit card: give layer=5 or layers=(4, 5, 6); "
            "`guardedit locate sweep` finds good ones"
        )
    if layer is None:
        assert card is not None
        return card.layer, card.layers
    return layer, several or (layer,)


def settings_of(
    method: str, card: EditCard | None, given: Mapping[str, Any]
) -> tuple[EditSettings, JointSettings]:
    """The default settings, overridden by the card, overridden by the given settings."""
    no_numbers: Mapping[str, Any] = {}
    from_card = (no_numbers, no_numbers) if card is None else (card.edit, card.joint)
    edit, joint = replace(EditSettings(), **from_card[0]), replace(JointSettings(), **from_card[1])
    chosen = joint if method.partition("+")[0] == "joint" else edit
    known = sorted(field.name for field in fields(chosen))
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"{method} has no setting {unknown[0]!r}; known: {', '.join(known)}")
    # A card's reader knows the limits of every setting.
    kind = "joint" if chosen is joint else "edit"
    parse_card(json.dumps({"layer": 0, "dials": {kind: dict(given)}}), f"settings of {method}")
    if chosen is joint:
        return edit, replace(joint, **given)
    return replace(edit, **given), joint


def texts_of(
    folder: Path | None, host: ModelHost, given: Sequence[str] | None, cache: Path, seed: int
) -> Sequence[str]:
    """The given texts, else those in the model's folder, else texts sampled from the model."""
    if given is not None:
        return given
    path = folder and folder / BACKGROUND
    if path and path.is_file():
        return read_background(path)
    width = host.base_matrix(0).shape[1]
    return background_texts(host, (), tokens=TOKENS_PER_DIMENSION * width, folder=cache, seed=seed)


def user_cache() -> Path:
    """`guardedit` in XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "guardedit"
