"""Several methods on the same facts: each edit alone, and all of them one after the other.

Knows editors by name. What to ask is in the cases; how it looks is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.errors import GuardeditError
from guardedit.core.protocols import Editor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import Alone, edit_alone
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import Examiner
from guardedit.lab.editors.sequence import Point, edit_in_sequence, powers_of_two

#: What is being done, how far, of how much.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure.

    Attributes:
        single: edits made alone; 0: none.
        sequential: edits made in sequence; 0: none.
        batch: most edits proposed at once in the sequence.
        checkpoints: after how many edits of the sequence to ask; empty: powers of two and the last.
        most: questions a measure at a checkpoint, see `sequence.edit_in_sequence`.
        collapsed: perplexity ratio at a checkpoint from which on a sequence is not continued.
    """

    single: int = 100
    sequential: int = 128
    batch: int = 16
    checkpoints: tuple[int, ...] = ()
    most: int | None = 400
    collapsed: float = math.inf

    @property
    def asked_at(self) -> tuple[int, ...]:
        """The checkpoints, and always the last edit."""
        named = {n for n in self.checkpoints if 0 < n < self.sequential}
        last = {self.sequential} if self.sequential else set()
        return tuple(sorted(named | last)) if self.checkpoints else powers_of_two(self.sequential)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One method.

    Attributes:
        name: with its additions, such as `memit+rect`.
        card: of the method with them; None when it could not be made.
        alone: single edits; None when not asked for, or not reached.
        points: of the sequence.
        problem: why it ended early; empty when it did not.
    """

    name: str
    card: MethodCard | None = None
    alone: Alone | None = None
    points: tuple[Point, ...] = ()
    problem: str = ""


def shown(setup: Setup, cases: Sequence[EditCase]) -> Setup:
    """The setup without known questions about subjects that locality is asked of: those are the test."""
    asked = {known.subject for case in cases for known in case.other_subject}
    return replace(setup, known=tuple(q for q in setup.known if q.subject not in asked))


def compare(
    setup: Setup,
    methods: Sequence[str],
    cases: Sequence[EditCase],
    texts: Sequence[str],
    plan: Plan,
    *,
    registry: Registry | None = None,
    tell: Tell = lambda *_: None,
) -> list[Measured]:
    """Run the methods one after the other; one that fails is reported with its reason, and the next begins.

    Args:
        setup: of the base model.
        methods: names as the registry knows them.
        cases: vetted, the same for all methods; the first of them are edited.
        texts: for the perplexity; not those that methods are shown.
        plan: how much.
        registry: of methods; default: all that are registered.
        tell: progress.
    """
    setup = shown(setup, cases)
    examiner = Examiner.of(setup.host, setup.fold, texts)
    registry = registry or Registry()
    return [
        _measured(name, registry, setup=setup, cases=cases, examiner=examiner, plan=plan, tell=tell)
        for name in methods
    ]


def _measured(
    name: str,
    registry: Registry,
    *,
    setup: Setup,
    cases: Sequence[EditCase],
    examiner: Examiner,
    plan: Plan,
    tell: Tell,
) -> Measured:
    found = Measured(name=name)
    points: list[Point] = []
    try:
        editor, card = _build(registry, name, setup)
        found = replace(found, card=card)
        single, several = cases[: plan.single], cases[: plan.sequential]
        if single:
            alone = edit_alone(
                editor,
                single,
                examiner,
                at_once=not card.reads_live and len({c.fact.key.subject for c in single}) == len(single),
                tell=lambda done: tell(f"{name}, alone", done, len(single)),
            )
            found = replace(found, alone=alone)
        # A new one: editors may remember edits they have made, and the sequence is timed as well.
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
                found = replace(found, problem=f"ended after {point.edits} edits, at {grown}: collapsed")
                break
    except GuardeditError as error:
        found = replace(found, problem=str(error))
    return replace(found, points=tuple(points))


def _build(registry: Registry, name: str, setup: Setup) -> tuple[Editor, MethodCard]:
    editor = registry.build(name, setup)
    card: MethodCard = editor.card  # type: ignore[attr-defined]  # every registered method has one
    return editor, card
