"""Find values for the subjects that can be edited, and a reason for every fact that cannot be edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import Value, change_rows
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.rows import row_tensors
from guardedit.models.host import ModelHost

#: Subjects whose values are optimised at once; bounds memory.
SUBJECTS_AT_ONCE = 32

#: Finds one value for each group.
Find = Callable[[Sequence[SubjectGroup]], list[Value]]


def merged_by_subject(groups: Sequence[SubjectGroup]) -> list[SubjectGroup]:
    """One group for each subject, in order of first occurrence.

    All facts of a subject in a proposal share one value. Two edits with nearly the same key that are solved
    together would each write only half of their change.
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
    """The groups, reduced to facts whose rows can be encoded; and fact id -> reason for all other facts."""
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
    """Groups with their values, in order, and fact id -> reason for the groups without a value."""
    found, refused = list[tuple[SubjectGroup, Value]](), dict[str, str]()
    for at in range(0, len(groups), SUBJECTS_AT_ONCE):
        found += _halved(groups[at : at + SUBJECTS_AT_ONCE], find, refused)
    return found, refused


def _halved(
    groups: Sequence[SubjectGroup], find: Find, refused: dict[str, str]
) -> list[tuple[SubjectGroup, Value]]:
    """Values of a batch; a batch that diverges is halved until only the subject that diverges is left out."""
    try:
        return list(zip(groups, find(groups), strict=True))
    except (EditDiverged, CorrectionError) as error:
        if len(groups) == 1:
            refused.update({fact.id: str(error) for fact in groups[0].facts})
            return []
        half = len(groups) // 2
        return [*_halved(groups[:half], find, refused), *_halved(groups[half:], find, refused)]
