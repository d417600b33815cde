"""The frame of methods that make one edit a fact and need no subject.

Knows which facts can be encoded and how a batch that fails is taken apart. Does not know how an edit is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.optimise.rows import RowTensors, row_tensors, whole_row
from guardedit.models.host import ModelHost


@dataclass(frozen=True, slots=True)
class Wanted:
    """One fact to be written, and the subject its edit goes by."""

    subject: str
    fact: Fact


#: Makes the edits of some facts, in their order; EditDiverged when one of them cannot be made.
Make = Callable[[Sequence[Wanted]], list[WeightEdit]]


def wanted_rows(host: ModelHost, wanted: Sequence[Wanted], **other: str) -> RowTensors:
    """One row a fact, fact n in group n; `other` goes to `whole_row`.

    Raises:
        CorrectionError: when a row cannot be encoded.
    """
    rows = [whole_row(n, item.fact, **other) for n, item in enumerate(wanted)]
    return row_tensors(host.tokenizer, rows, context=host.context)


def edit_facts(
    host: ModelHost, groups: Sequence[SubjectGroup], make: Make, *, at_once: int
) -> tuple[list[WeightEdit], dict[str, str]]:
    """One edit for each fact that can be edited, in the order given, and why the others cannot.

    Args:
        host: as the edits shall find it; locked by the caller.
        groups: facts; their `keep` questions are not looked at.
        make: called with at most `at_once` facts; when it diverges, with half of them each, down to the one
            that is to blame.
        at_once: bounds memory.
    """
    edits, refused, fit = list[WeightEdit](), dict[str, str](), list[Wanted]()
    for group in groups:
        for fact in group.facts:
            one = Wanted(group.subject, fact)
            try:
                wanted_rows(host, [one])
                fit.append(one)
            except CorrectionError as error:
                refused[fact.id] = str(error)
    for at in range(0, len(fit), at_once):
        edits += _halved(fit[at : at + at_once], make, refused)
    return edits, refused


def _halved(wanted: Sequence[Wanted], make: Make, refused: dict[str, str]) -> list[WeightEdit]:
    try:
        return make(wanted)
    except EditDiverged as error:
        if len(wanted) == 1:
            refused[wanted[0].fact.id] = str(error)
            return []
        half = len(wanted) // 2
        return [*_halved(wanted[:half], make, refused), *_halved(wanted[half:], make, refused)]
