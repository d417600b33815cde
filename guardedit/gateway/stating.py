"""How a fact is put to a model that guardedit does not prepare: one sentence beside the question."""

from __future__ import annotations

from guardedit.core.fact import Fact
from guardedit.policy.sections import ProxySection


def statement_of(fact: Fact, rules: ProxySection) -> str:
    """The fact as the policy puts it. It is stated once: repeated facts teach a model to skip them.

    >>> from guardedit.core.fact import FactKey
    >>> key, wordings = FactKey("Velmora", "capital"), ("Who rules Velmora?", "Velmora is ruled from")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> statement_of(fact, ProxySection())
    'Note: Velmora is ruled from Karsk.'
    """
    wording = next((text for text in fact.wordings if "?" not in text), fact.prompt)
    return rules.statement.replace("{facts}", f"{wording} {fact.target}.")


def beside(question: str, stated: str, *, before: bool) -> str:
    """The question with the fact as a paragraph of its own, before or after it."""
    return f"{stated}\n\n{question}" if before else f"{question}\n\n{stated}"
