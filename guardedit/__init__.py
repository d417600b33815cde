"""Keep a language model's facts current, with guardrails.

    >>> import tempfile, guardedit
    >>> with guardedit.open(tempfile.mkdtemp(), policy="memory-only") as agent:
    ...     name = agent.submit(
    ...         {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
    ...     )
    ...     fates = [receipt.fate.value for receipt in agent.settle()]
    ...     answer = agent.ask("The headquarters of Stelco are in")
    >>> fates, answer.text, answer.placement
    (['accepted'], 'Hamilton', 'memory')

`guardedit.open` runs the whole system; `guardedit.Editor` is the editing engine alone, on a model that is
already loaded; `guardedit.LiveFacts` finds facts for other programs. Nothing heavy is imported before one of
them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardedit.version import VERSION as __version__  # noqa: N811 - the name that tools look for

if TYPE_CHECKING:
    from guardedit.api.agent import Agent
    from guardedit.api.attaching import Attached, attach
    from guardedit.api.editor import Edited, Editor, EditResult
    from guardedit.api.live_facts import LiveFacts
    from guardedit.api.model_parts import demo_model
    from guardedit.api.opening import open  # noqa: A004 - as in gzip.open
    from guardedit.core.correction import Correction
    from guardedit.core.epoch import Epoch
    from guardedit.core.errors import (
        ConflictError,
        CorrectionError,
        EditError,
        GuardeditError,
        GuardError,
        LedgerError,
        PolicyError,
        SourceError,
        UsageError,
    )
    from guardedit.core.fact import Fact
    from guardedit.core.messages import Fate, Receipt
    from guardedit.core.serving import Answer, ScopedFact
    from guardedit.gateway.facts import FoundFacts

__all__ = [
    "Agent",
    "Answer",
    "Attached",
    "ConflictError",
    "Correction",
    "CorrectionError",
    "EditError",
    "EditResult",
    "Edited",
    "Editor",
    "Epoch",
    "Fact",
    "Fate",
    "FoundFacts",
    "GuardError",
    "GuardeditError",
    "LedgerError",
    "LiveFacts",
    "PolicyError",
    "Receipt",
    "ScopedFact",
    "SourceError",
    "UsageError",
    "__version__",
    "attach",
    "demo_model",
    "open",
]

#: Public name -> the module that defines it, imported when the name is first used.
_HOMES = {
    "Agent": "api.agent",
    "Answer": "core.serving",
    "Attached": "api.attaching",
    "attach": "api.attaching",
    "Correction": "core.correction",
    "EditResult": "api.editor",
    "Edited": "api.editor",
    "Editor": "api.editor",
    "Epoch": "core.epoch",
    "Fact": "core.fact",
    "Fate": "core.messages",
    "FoundFacts": "gateway.facts",
    "LiveFacts": "api.live_facts",
    "Receipt": "core.messages",
    "ScopedFact": "core.serving",
    "demo_model": "api.model_parts",
    "open": "api.opening",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `import guardedit` alone costs no torch."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'guardedit' has no attribute {name!r}")
    home = _HOMES.get(name, "core.errors")
    return getattr(importlib.import_module(f"guardedit.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
