"""The one place that names concrete classes: settings and policy in, working parts out.

Knows how the pieces are chosen and fitted together; does nothing with them.
"""

from __future__ import annotations

from guardedit.assembly.base_check import (
    Part,
    accept_base,
    check_base,
    compare_base,
    edits_on_base,
    note_new_parts,
    parts_of_base,
)
from guardedit.assembly.base_parts import base_parts
from guardedit.assembly.edit_cards import (
    EDIT_CARD,
    card_file,
    edit_layer,
    edit_settings,
    find_card,
    joint_settings,
    policy_dials,
    write_card,
)
from guardedit.assembly.limits import drift_watch, guard
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
    PROSE,
    background,
    known_questions,
    load_probes,
    model_folder,
    tokenizer_check,
)
from guardedit.assembly.system import (
    build_parts,
    last_snapshot,
    load_memory,
    open_ledger,
    unchanged_base,
)
from guardedit.sources.registry import open_sources

__all__ = [
    "BACKGROUND",
    "EDIT_CARD",
    "PROBES",
    "PROSE",
    "Builder",
    "LoadedModel",
    "Part",
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
    "guard",
    "joint_settings",
    "known_questions",
    "last_snapshot",
    "load_host",
    "load_memory",
    "load_model",
    "load_probes",
    "load_setup",
    "model_folder",
    "model_worker",
    "note_new_parts",
    "open_ledger",
    "open_sources",
    "parts_of_base",
    "policy_dials",
    "tokenizer_check",
    "unchanged_base",
    "write_card",
]
