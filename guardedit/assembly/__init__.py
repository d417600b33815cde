"""Builds the parts of the system from settings and policy. The one place that chooses concrete classes."""

from __future__ import annotations

from guardedit.assembly.base_check import (
    BasePart,
    accept_base,
    check_base,
    compare_base,
    edits_on_base,
    parts_of_base,
    record_new_parts,
)
from guardedit.assembly.base_parts import base_parts
from guardedit.assembly.edit_cards import (
    EDIT_CARD,
    card_file,
    edit_layer,
    edit_settings,
    find_card,
    joint_settings,
    policy_settings,
    write_card,
)
from guardedit.assembly.limits import drift_watch, guard, load_noise
from guardedit.assembly.loading import (
    Builder,
    LoadedModel,
    borrowed_cache,
    load_host,
    load_model,
    load_setup,
    model_worker,
)
from guardedit.assembly.model_files import (
    BACKGROUND,
    PROBES,
    TOKENS_PER_DIMENSION,
    background,
    find_probes,
    known_questions,
    load_probes,
    model_folder,
    read_background,
    tokenizer_check,
)
from guardedit.assembly.prompts import MEMORY_CARD, load_prompts, prompts_of, read_memory_card
from guardedit.assembly.scope import load_memory
from guardedit.assembly.system import (
    build_parts,
    last_snapshot,
    open_ledger,
    require_unchanged_base,
)
from guardedit.assembly.without_editing import served_fold
from guardedit.sources.registry import open_sources

__all__ = [
    "BACKGROUND",
    "EDIT_CARD",
    "MEMORY_CARD",
    "PROBES",
    "TOKENS_PER_DIMENSION",
    "BasePart",
    "Builder",
    "LoadedModel",
    "accept_base",
    "background",
    "base_parts",
    "borrowed_cache",
    "build_parts",
    "card_file",
    "check_base",
    "compare_base",
    "drift_watch",
    "edit_layer",
    "edit_settings",
    "edits_on_base",
    "find_card",
    "find_probes",
    "guard",
    "joint_settings",
    "known_questions",
    "last_snapshot",
    "load_host",
    "load_memory",
    "load_model",
    "load_noise",
    "load_probes",
    "load_prompts",
    "load_setup",
    "model_folder",
    "model_worker",
    "open_ledger",
    "open_sources",
    "parts_of_base",
    "policy_settings",
    "prompts_of",
    "read_background",
    "read_memory_card",
    "record_new_parts",
    "require_unchanged_base",
    "served_fold",
    "tokenizer_check",
    "write_card",
]
