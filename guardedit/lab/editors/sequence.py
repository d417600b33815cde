"""Edits one batch after the other, each made with all earlier ones live, asked after all of them.

Knows editors and the order of things; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import Counts, Examiner, Measure, count, questions

#: Done so far.
Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The model after `edits` edits.

    Attributes:
        edits: asked for so far.
        refused: of these, without an edit in the model.
        counts: answers over all edits so far.
        retention: reliability of the first edits, a batch of them.
        newest: reliability of the newest ones, as many.
        perplexity_ratio: over the base model's.
        capacity_ratio: live keys over the effective free rank of the fullest layer.
        seconds_per_edit: of the method, over all edits so far.
        bytes_per_edit: of the live payloads, over the facts in them.
    """

    edits: int
    refused: int
    counts: Counts
    retention: float
    newest: float
    perplexity_ratio: float
    capacity_ratio: float
    seconds_per_edit: float
    bytes_per_edit: float


@dataclass(slots=True)
class _State:
    """What is in the model, and what it cost."""

    live: dict[str, list[WeightEdit]] = field(default_factory=dict)  # by subject
    seconds: float = 0.0

    @property
    def edits(self) -> list[WeightEdit]:
        return [edit for edits in self.live.values() for edit in edits]


def powers_of_two(count: int) -> tuple[int, ...]:
    """1, 2, 4 ... and `count`.

    >>> powers_of_two(6), powers_of_two(0)
    ((1, 2, 4, 6), ())
    """
    found = [1 << n for n in range(count.bit_length()) if 1 << n < count]
    return (*found, *([count] if count else []))


def edit_in_sequence(
    editor: Editor,
    cases: Sequence[EditCase],
    examiner: Examiner,
    *,
    batch: int,
    checkpoints: Sequence[int],
    most: int | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[Point]:
    """Make the edits in order; one point at every checkpoint.

    A batch ends early where a checkpoint is. A later fact of an edited subject is handed in together with
    the earlier ones, and the new edit takes the place of the old, as the agent does.

    Args:
        editor: the method.
        cases: in order.
        examiner: of the base model.
        batch: most edits proposed at once, and the number of first and of newest edits looked at.
        checkpoints: numbers of edits after which to ask, ascending, at most `len(cases)`.
        most: questions a measure at a checkpoint; None: all. The edits' own prompts are all asked.
        tell: edits made so far.

    Raises:
        EditError: when the edits cannot be folded any more; points that were made before stay good.
    """
    state, done = _State(), 0
    for checkpoint in checkpoints:
        while done < checkpoint:
            size = min(batch, checkpoint - done)
            _propose(editor, cases[:done], cases[done : done + size], state)
            done += size
            tell(done)
        yield _point(cases[:done], state, examiner, batch=batch, most=most)


def _propose(editor: Editor, earlier: Sequence[EditCase], newest: Sequence[EditCase], state: _State) -> None:
    subjects = list(dict.fromkeys(case.fact.key.subject for case in newest))
    groups = [_group(subject, [*earlier, *newest]) for subject in subjects]
    replaced = {subject: state.live.pop(subject, []) for subject in subjects}
    proposal = editor.propose(groups, state.edits)
    state.seconds += proposal.seconds
    for edit in proposal.edits:
        state.live.setdefault(edit.subject, []).append(edit)
    for subject, edits in replaced.items():
        # A method that declines the subject's facts together leaves it with those it has.
        if edits and subject not in state.live:
            state.live[subject] = edits


def _group(subject: str, cases: Sequence[EditCase]) -> SubjectGroup:
    mine = [case for case in cases if case.fact.key.subject == subject]
    edited = {case.fact.key.relation for case in mine}
    keep = {q.prompt: q for case in mine for q in case.keep if q.relation not in edited}
    return SubjectGroup(subject=subject, facts=tuple(case.fact for case in mine), keep=tuple(keep.values()))


def _point(
    cases: Sequence[EditCase], state: _State, examiner: Examiner, *, batch: int, most: int | None
) -> Point:
    live = state.edits
    asked = questions(cases, edited={case.fact.key for case in cases}, most=most)
    right, ratio = examiner.examine(live, asked)
    own = {one.fact: hit for one, hit in zip(asked, right, strict=True) if one.measure is Measure.RELIABILITY}
    said = [own[case.fact.id] for case in cases]
    window = min(batch, len(cases))
    written = {fact for edit in live for fact in edit.facts}
    return Point(
        edits=len(cases),
        refused=sum(case.fact.id not in written for case in cases),
        counts=count(asked, right),
        retention=sum(said[:window]) / window,
        newest=sum(said[-window:]) / window,
        perplexity_ratio=ratio,
        capacity_ratio=_capacity(examiner, live),
        seconds_per_edit=state.seconds / len(cases),
        bytes_per_edit=sum(len(e.payload) for e in live) / len(written) if written else math.nan,
    )


def _capacity(examiner: Examiner, live: Sequence[WeightEdit]) -> float:
    try:
        return examiner.fold.capacity_ratio(live)
    except EditError:  # a number for information must not end the run
        return math.nan
