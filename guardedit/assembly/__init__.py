"""The one place that names concrete classes: settings and policy in, working parts out.

Knows how the pieces are chosen and fitted together; does nothing with them.
"""

from __future__ import annotations

from guardedit.assembly.bench import Bench, Builder, edit_settings, load_bench, load_host, load_setup, worker
from guardedit.assembly.limits import drift_watch, guard
from guardedit.assembly.model_files import (
    BACKGROUND,
    EDIT_CARD,
    PROBES,
    PROSE,
    background,
    edit_layer,
    known_questions,
    load_probes,
    model_folder,
    tokenizer_check,
)
from guardedit.assembly.system import build_agent, last_snapshot, load_memory, open_ledger, open_sources

__all__ = [
    "BACKGROUND",
    "EDIT_CARD",
    "PROBES",
    "PROSE",
    "Bench",
    "Builder",
    "background",
    "build_agent",
    "drift_watch",
    "edit_layer",
    "edit_settings",
    "guard",
    "known_questions",
    "last_snapshot",
    "load_bench",
    "load_host",
    "load_memory",
    "load_probes",
    "load_setup",
    "model_folder",
    "open_ledger",
    "open_sources",
    "tokenizer_check",
    "worker",
]
