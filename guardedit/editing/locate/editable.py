"""Values for the subjects that can be edited, and a reason for every fact that cannot.

Knows refusals and bounds memory. Does not know how values are found or what is done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import Value, change_rows
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.rows import row_tensors
from guardedit.models.host import ModelHost

#: Subjects whose values are found at once; bounds memory.
SUBJECTS_AT_ONCE = 32

#: Finds one value a group.
Find = Callable[[Sequence[SubjectGroup]], list[Value]]


def by_subject(groups: Sequence[SubjectGroup]) -> list[SubjectGroup]:
    """One group a subject, in the order in which the subjects first come.

    Facts of one subject share one value, wherever they stand in a proposal. Two edits with nearly the same
    key, neither of which knows of the other, would each bring half of what they should.
    """
    found: dict[str, SubjectGroup] = {}
    for group in groups:
        first = found.get(group.subject, replace(group, facts=(), keep=()))
        facts, keep = (
            dict.fromkeys((*a, *b)) for a, b in ((first.facts, group.facts), (first.keep, group.keep))
        )
        found[group.subject] = replace(first, facts=tuple(facts), keep=tuple(keep))
    return list(found.values())


def editable(
    host: ModelHost, groups: Sequence[SubjectGroup], contexts: Contexts
) -> tuple[list[SubjectGroup], dict[str, str]]:
    """The groups with those facts whose rows can be made, and why the others' cannot."""
    kept, refused = [], dict[str, str]()
    for group in groups:
        facts = []
        for fact in group.facts:
            rows = change_rows(0, replace(group, facts=(fact,)), contexts)
            try:
                row_tensors(host.tokenizer, rows, context=host.context)
            except CorrectionError as error:
                refused[fact.id] = str(error)
            else:
                facts.append(fact)
        if facts:
            kept.append(replace(group, facts=tuple(facts)))
    return kept, refused


def found_values(
    groups: Sequence[SubjectGroup], find: Find
) -> tuple[list[tuple[SubjectGroup, Value]], Mapping[str, str]]:
    """Groups with their values, in order, and a reason for each fact of the groups that gave none."""
    found, refused = list[tuple[SubjectGroup, Value]](), dict[str, str]()
    for at in range(0, len(groups), SUBJECTS_AT_ONCE):
        found += _halved(groups[at : at + SUBJECTS_AT_ONCE], find, refused)
    return found, refused


def _halved(
    groups: Sequence[SubjectGroup], find: Find, refused: dict[str, str]
) -> list[tuple[SubjectGroup, Value]]:
    """Where a batch diverges, the values of its halves, down to the subject that is to blame."""
    try:
        return list(zip(groups, find(groups), strict=True))
    except (EditDiverged, CorrectionError) as error:
        if len(groups) == 1:
            refused.update({fact.id: str(error) for fact in groups[0].facts})
            return []
        half = len(groups) // 2
        return [*_halved(groups[:half], find, refused), *_halved(groups[half:], find, refused)]
