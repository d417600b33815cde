"""Edit fact by fact, for methods that make one edit for each fact and need no subject.

Refuses facts that cannot be encoded, and splits a batch that diverges.
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
class FactToEdit:
    """One fact, and the subject under which its edit is recorded."""

    subject: str
    fact: Fact


#: Facts -> their edits, in order; raises EditDiverged when one of them cannot be made.
MakeEdits = Callable[[Sequence[FactToEdit]], list[WeightEdit]]


def fact_tensors(host: ModelHost, facts: Sequence[FactToEdit], **other: str) -> RowTensors:
    """The encoded prompt and answer of each fact; fact n is row n and group n.

    Args:
        host: gives the tokenizer and the context length.
        facts: to encode.
        other: keyword arguments of `whole_row`.

    Raises:
        CorrectionError: when a row cannot be encoded.
    """
    rows = [whole_row(n, item.fact, **other) for n, item in enumerate(facts)]
    return row_tensors(host.tokenizer, rows, context=host.context)


def edit_facts(
    host: ModelHost, groups: Sequence[SubjectGroup], make: MakeEdits, *, at_once: int
) -> tuple[list[WeightEdit], dict[str, str]]:
    """The edits of the facts, in order; and fact id -> reason for the facts that are refused.

    Args:
        host: the model to edit, as it stands; locked by the caller.
        groups: facts; their `keep` questions are not used.
        make: called with at most `at_once` facts. When it diverges, it is called with each half, until only
            the facts that fail are left out.
        at_once: most facts in one call of `make`; bounds memory.
    """
    edits, refused, fit = list[WeightEdit](), dict[str, str](), list[FactToEdit]()
    for group in groups:
        for fact in group.facts:
            one = FactToEdit(group.subject, fact)
            try:
                fact_tensors(host, [one])
                fit.append(one)
            except CorrectionError as error:
                refused[fact.id] = str(error)
    for at in range(0, len(fit), at_once):
        edits += _halved(fit[at : at + at_once], make, refused)
    return edits, refused


def _halved(wanted: Sequence[FactToEdit], make: MakeEdits, refused: dict[str, str]) -> list[WeightEdit]:
    try:
        return make(wanted)
    except EditDiverged as error:
        if len(wanted) == 1:
            refused[wanted[0].fact.id] = str(error)
            return []
        half = len(wanted) // 2
        return [*_halved(wanted[:half], make, refused), *_halved(wanted[half:], make, refused)]
