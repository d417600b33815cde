"""Finds the memory card of a model, and builds the prompts that the model is asked with.

Needs the tokenizer, not the weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from guardedit.assembly.model_files import model_folder
from guardedit.core.errors import UsageError
from guardedit.memory.context import Announcement, Prompts
from guardedit.memory.strategies import STRATEGIES
from guardedit.models.loading import load_tokenizer
from guardedit.models.text.form import Form, form_of
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Name of the card in the model's folder: the announcement that the model obeys, and how that was measured.
MEMORY_CARD = "memory_card.json"


def load_prompts(settings: Settings, policy: Policy | None = None) -> Prompts:
    """The prompts of the model in the settings; those of the embedded model where there is no card.

    Args:
        settings: names the model.
        policy: its strategy is followed; None: facts are stated in the context.

    Raises:
        UsageError: the card or the tokenizer cannot be read.
    """
    card = read_memory_card(model_folder(settings))
    tokenizer, _ = load_tokenizer(model_folder(settings))
    prompts = prompts_of(card, form_of(tokenizer, card.get("form")))
    return prompts if policy is None else STRATEGIES[policy.memory.strategy].prompts(prompts)


def prompts_of(card: dict[str, Any], form: Form) -> Prompts:
    """The prompts that a memory card asks for, in a form; the defaults where it says nothing."""
    limit = card.get("asking_nats")
    if limit is not None and not isinstance(limit, int | float):
        raise UsageError(f"asking_nats of a memory card is {limit!r}: use a number below 0, or null")
    return Prompts(form, Announcement.from_json(card.get("announcement", {})), limit)


def read_memory_card(folder: Path) -> dict[str, Any]:
    """The memory card in a model's folder; empty where there is none.

    Raises:
        UsageError: it is not a JSON object.
    """
    path = folder / MEMORY_CARD
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): make it with `guardedit memory tune`") from error
    if not isinstance(card, dict):
        raise UsageError(f"{path} must contain an object: make it with `guardedit memory tune`")
    return card
