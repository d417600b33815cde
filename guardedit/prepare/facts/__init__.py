"""Public facts that come with the project, and the ways to ask for them."""

from __future__ import annotations

from guardedit.prepare.facts.public_facts import (
    PARTS,
    Part,
    PublicFact,
    Relation,
    cloze,
    load_public_facts,
    load_relations,
    part_of,
    question,
    read_facts,
)

__all__ = [
    "PARTS",
    "Part",
    "PublicFact",
    "Relation",
    "cloze",
    "load_public_facts",
    "load_relations",
    "part_of",
    "question",
    "read_facts",
]
