"""The two texts that the judge reads."""

from __future__ import annotations

#: Stands for the subject in every text that the judge reads: the mask token of its tokenizer.
SLOT = "[MASK]"


def fact_text(prompt: str, target: str) -> str:
    """A fact as the judge reads it: its prompt with the subject masked, and its target.

    >>> fact_text("Who runs [MASK]?", "Max Orr"), fact_text("[MASK] was born in", "Turin")
    ('Who runs [MASK]? Max Orr.', '[MASK] was born in Turin.')
    """
    return f"{prompt.rstrip()} {target.strip().rstrip('.')}."
