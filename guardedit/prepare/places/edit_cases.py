"""Public facts that a model knows, as cases that the lab edits."""

from __future__ import annotations

from guardedit.lab.editors.cases import EditCase
from guardedit.models.host import ModelHost
from guardedit.prepare.facts.public_facts import load_public_facts
from guardedit.prepare.places.cases import known_facts, make_cases

#: Known facts for each case: other objects of the same relation are the targets.
FOR_EACH = 2


def public_cases(host: ModelHost, count: int, *, seed: int) -> list[EditCase]:
    """At most `count` facts on different subjects, each to be changed to the object of another one."""
    known = known_facts(host, load_public_facts(), most=FOR_EACH * count, seed=seed)
    return [
        EditCase(fact=case.fact, old=case.true, unseen=case.unseen)
        for case in make_cases(known, count=count, seed=seed)
    ]
