"""Measures edits in sequence: each batch is made with all earlier edits live, then all facts are asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import AnswerCounts, Examiner, Measure, count, questions

#: Takes the number of edits done.
Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePoint:
    """The model after `edits` edits.

    Attributes:
        edits: attempted so far.
        refused: number of these without an edit in the model.
        counts: answers over all edits so far.
        retention: reliability of the first batch.
        newest: reliability of the newest edits; their number is that of a batch.
        perplexity_ratio: perplexity over the base model's.
        capacity_ratio: live keys over the effective free rank, in the fullest layer.
        seconds_per_edit: seconds of the method, over all edits so far.
        bytes_per_edit: bytes of the live payloads, over the facts in them.
    """

    edits: int
    refused: int
    counts: AnswerCounts
    retention: float
    newest: float
    perplexity_ratio: float
    capacity_ratio: float
    seconds_per_edit: float
    bytes_per_edit: float


@dataclass(slots=True)
class _State:
    """The live edits by subject, and the seconds spent on proposals."""

    live: dict[str, list[WeightEdit]] = field(default_factory=dict)
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
    editor: MethodEditor,
    cases: Sequence[EditCase],
    examiner: Examiner,
    *,
    batch: int,
    checkpoints: Sequence[int],
    most: int | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[SequencePoint]:
    """Make the edits in order and yield one point per checkpoint.

    A batch ends early at a checkpoint. Another fact of an edited subject is proposed together with the
    subject's earlier facts, and the new edit replaces the old one, as in the agent.

    Args:
        editor: the method.
        cases: cases in order.
        examiner: examiner of the base model.
        batch: most edits proposed at once, and the number of edits in `retention` and `newest`.
        checkpoints: numbers of edits after which to ask, ascending, at most `len(cases)`.
        most: most questions per measure at a checkpoint; None: all. The edits' own prompts are all asked.
        tell: progress.

    Raises:
        EditError: when the edits can no longer be folded. Points yielded before remain valid.
    """
    state, done = _State(), 0
    for checkpoint in checkpoints:
        while done < checkpoint:
            size = min(batch, checkpoint - done)
            _propose(editor, cases[:done], cases[done : done + size], state)
            done += size
            tell(done)
        yield _point(cases[:done], state, examiner, batch=batch, most=most)


def _propose(
    editor: MethodEditor, earlier: Sequence[EditCase], newest: Sequence[EditCase], state: _State
) -> None:
    subjects = list(dict.fromkeys(case.fact.key.subject for case in newest))
    groups = [_group(subject, [*earlier, *newest]) for subject in subjects]
    replaced = {subject: state.live.pop(subject, []) for subject in subjects}
    proposal = editor.propose(groups, state.edits)
    state.seconds += proposal.seconds
    for edit in proposal.edits:
        state.live.setdefault(edit.subject, []).append(edit)
    for subject, edits in replaced.items():
        # If the method declines the subject's facts together, the subject keeps its earlier edits.
        if edits and subject not in state.live:
            state.live[subject] = edits


def _group(subject: str, cases: Sequence[EditCase]) -> SubjectGroup:
    own = [case for case in cases if case.fact.key.subject == subject]
    edited = {case.fact.key.relation for case in own}
    keep = {q.prompt: q for case in own for q in case.keep if q.relation not in edited}
    return SubjectGroup(subject=subject, facts=tuple(case.fact for case in own), keep=tuple(keep.values()))


def _point(
    cases: Sequence[EditCase], state: _State, examiner: Examiner, *, batch: int, most: int | None
) -> SequencePoint:
    live = state.edits
    asked = questions(cases, edited={case.fact.key for case in cases}, most=most)
    correct, ratio = examiner.examine(live, asked)
    by_fact = {q.fact: hit for q, hit in zip(asked, correct, strict=True) if q.measure is Measure.RELIABILITY}
    reliable = [by_fact[case.fact.id] for case in cases]
    window = min(batch, len(cases))
    written = {fact for edit in live for fact in edit.facts}
    return SequencePoint(
        edits=len(cases),
        refused=sum(case.fact.id not in written for case in cases),
        counts=count(asked, correct),
        retention=sum(reliable[:window]) / window,
        newest=sum(reliable[-window:]) / window,
        perplexity_ratio=ratio,
        capacity_ratio=_capacity(examiner, live),
        seconds_per_edit=state.seconds / len(cases),
        bytes_per_edit=sum(len(e.payload) for e in live) / len(written) if written else math.nan,
    )


def _capacity(examiner: Examiner, live: Sequence[WeightEdit]) -> float:
    try:
        return examiner.fold.capacity_ratio(live)
    except EditError:  # an informative number must not end the run
        return math.nan
