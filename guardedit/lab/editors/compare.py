"""Compares editing methods on the same facts: each edit alone, and all edits in sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.errors import GuardeditError
from guardedit.core.protocols import MethodEditor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import SingleEditScores, edit_alone
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import Examiner
from guardedit.lab.editors.sequence import SequencePoint, edit_in_sequence, powers_of_two

#: Takes the current activity, edits done, and edits in total.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure.

    Attributes:
        single: edits made alone; 0: none.
        sequential: edits made in sequence; 0: none.
        batch: most edits proposed at once in the sequence.
        checkpoints: numbers of edits in the sequence after which to ask; empty: powers of two and the last.
        most: most questions per measure at a checkpoint, see `sequence.edit_in_sequence`.
        collapsed: a sequence ends at a checkpoint with at least this perplexity ratio.
    """

    single: int = 100
    sequential: int = 128
    batch: int = 16
    checkpoints: tuple[int, ...] = ()
    most: int | None = 400
    collapsed: float = math.inf

    @property
    def asked_at(self) -> tuple[int, ...]:
        """The checkpoints, always including the last edit."""
        named = {n for n in self.checkpoints if 0 < n < self.sequential}
        last = {self.sequential} if self.sequential else set()
        return tuple(sorted(named | last)) if self.checkpoints else powers_of_two(self.sequential)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """The measurements of one method.

    Attributes:
        name: name with its filters, such as `memit+rect`.
        card: card of the method with its filters; None when it could not be built.
        alone: single edits; None when not requested or not reached.
        points: points of the sequence.
        problem: why it ended early; empty when it did not.
    """

    name: str
    card: MethodCard | None = None
    alone: SingleEditScores | None = None
    points: tuple[SequencePoint, ...] = ()
    problem: str = ""


def without_test_questions(setup: Setup, cases: Sequence[EditCase]) -> Setup:
    """The setup without known questions about subjects that are used to test locality."""
    tested = {known.subject for case in cases for known in case.other_subject}
    return replace(setup, known=tuple(q for q in setup.known if q.subject not in tested))


def compare(
    setup: Setup,
    methods: Sequence[str],
    cases: Sequence[EditCase],
    texts: Sequence[str],
    plan: Plan,
    *,
    registry: Registry | None = None,
    tell: Tell = lambda *_: None,
) -> list[MethodResult]:
    """Measure one method after the other. A method that fails is reported with its problem.

    Args:
        setup: setup of the base model.
        methods: names in the registry.
        cases: vetted, the same for all methods; the first `plan.single` and `plan.sequential` are edited.
        texts: texts for measuring perplexity; no text that a method uses.
        plan: how much to measure.
        registry: registry of methods; default: all that are registered.
        tell: progress.
    """
    setup = without_test_questions(setup, cases)
    examiner = Examiner.of(setup.host, setup.fold, texts)
    registry = registry or Registry()
    return [
        _measure(name, registry, setup=setup, cases=cases, examiner=examiner, plan=plan, tell=tell)
        for name in methods
    ]


def _measure(
    name: str,
    registry: Registry,
    *,
    setup: Setup,
    cases: Sequence[EditCase],
    examiner: Examiner,
    plan: Plan,
    tell: Tell,
) -> MethodResult:
    result = MethodResult(name=name)
    points: list[SequencePoint] = []
    try:
        editor, card = _build(registry, name, setup)
        result = replace(result, card=card)
        single, several = cases[: plan.single], cases[: plan.sequential]
        if single:
            alone = edit_alone(
                editor,
                single,
                examiner,
                at_once=not card.reads_live and len({c.fact.key.subject for c in single}) == len(single),
                tell=lambda done: tell(f"{name}, alone", done, len(single)),
            )
            result = replace(result, alone=alone)
        # A new editor: editors may cache edits they have made, and the sequence is timed as well.
        editor, _ = _build(registry, name, setup)
        for point in edit_in_sequence(
            editor,
            several,
            examiner,
            batch=plan.batch,
            checkpoints=[n for n in plan.asked_at if n <= len(several)],
            most=plan.most,
            tell=lambda done: tell(f"{name}, in sequence", done, len(several)),
        ):
            points.append(point)
            if point.edits < len(several) and not point.perplexity_ratio < plan.collapsed:
                grown = f"perplexity x{point.perplexity_ratio:.3g}"
                result = replace(result, problem=f"ended after {point.edits} edits, at {grown}: collapsed")
                break
    except GuardeditError as error:
        result = replace(result, problem=str(error))
    return replace(result, points=tuple(points))


def _build(registry: Registry, name: str, setup: Setup) -> tuple[MethodEditor, MethodCard]:
    editor = registry.build(name, setup)
    card: MethodCard = editor.card  # type: ignore[attr-defined]  # every registered method has one
    return editor, card
