"""Tunes the announcement of the model in the settings, and writes its memory card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardedit import assembly
from guardedit.core.correction import Correction
from guardedit.core.durable import replace_file
from guardedit.core.errors import UsageError
from guardedit.models.host import ModelHost
from guardedit.policy.load import load_policy
from guardedit.prepare.announcing import public_corrections, tune
from guardedit.prepare.announcing.tuning import Tell
from guardedit.prepare.facts import load_public_facts, read_facts
from guardedit.settings import Settings

#: Facts that the model knows, half of them to choose on.
COUNT = 50


@dataclass(frozen=True, slots=True)
class TunedMemory:
    """A memory card and the file that it was written to."""

    card: dict[str, Any]
    path: Path


def tune_announcement(
    settings: Settings,
    *,
    tell: Tell,
    facts: Path | None = None,
    corrections: Sequence[Correction] | None = None,
    count: int = COUNT,
    seed: int = 0,
    host: ModelHost | None = None,
) -> TunedMemory:
    """Choose the announcement, and write `memory_card.json` into the model's folder.

    Args:
        settings: names the model.
        tell: called with a text and how much of it is done.
        facts: true facts, as for probes; their objects are exchanged. Default: the shipped public facts.
        corrections: used in place of `facts`; with the answers that they replace.
        count: number of facts that the model knows, half of them to choose on.
        seed: of the choice of facts.
        host: the model, if it is loaded already.

    Raises:
        UsageError: the model is the embedded one, the facts cannot be read, or it knows too few of them.
    """
    if not settings.model:
        raise UsageError("the built-in demo model was trained to obey its announcement: name another model")
    held_out: Sequence[Correction] = ()
    source = "given corrections" if corrections is not None else facts.name if facts else "public facts"
    if corrections is None:
        corrections = public_corrections(seed, read_facts(facts) if facts else None)
        held_out = () if facts else public_corrections(seed, load_public_facts("held_out"))
    host = host or assembly.load_host(settings)
    memory = assembly.load_memory(settings, load_policy(settings.policy))
    card = tune(host, memory, corrections, held_out, count=count, tell=tell)
    card["about"] = {"facts": source, "count": count, "seed": seed}
    path = assembly.model_folder(settings) / assembly.MEMORY_CARD
    body = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(path, body.encode(), step="card")
    return TunedMemory(card, path)
