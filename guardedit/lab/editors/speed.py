"""Measures the speed of the default editor, the plain editor and other methods, on the same facts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import MethodEditor
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import group_of
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import AnswerCounts, EditQuestion, Measure, count, questions
from guardedit.lab.editors.plain import PlainEditor
from guardedit.lab.editors.time_shares import time_shares
from guardedit.models.text.spans import Expected, score_spans
from guardedit.models.threads import one_thread

#: Seconds over which the matrix rate is measured.
RATE_S = 0.5
#: Answers that an edit should change.
CHANGED = {Measure.RELIABILITY, Measure.GENERALIZATION}
#: Facts proposed before anything is measured: the first call of an editor prepares it, and that of a process
#: is slower.
WARM = 2
#: Facts for which the operations of the plain editor are counted. It edits one fact at a time.
COUNTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The speed and success of one editor.

    Attributes:
        edits: number of edits made. Answers of refused ones count as wrong.
        seconds: seconds for all of them.
        edits_per_second: facts over seconds.
        seconds_per_edit: seconds over facts.
        efficacy: share of own prompts after which the model says the target, with all edits in it.
        generalization: the same for unseen wordings.
        efficacy_alone: share of own prompts, with each edit alone in the model.
        gigaflops_per_edit: matrix operations, counted.
        floor_seconds: time for these operations at the measured matrix rate of the machine.
        floor_share: `floor_seconds` over `seconds`.
    """

    edits: int
    seconds: float
    edits_per_second: float
    seconds_per_edit: float
    efficacy: float
    generalization: float
    efficacy_alone: float
    gigaflops_per_edit: float
    floor_seconds: float
    floor_share: float


def matrix_rate(rows: int, inner: int, columns: int) -> float:
    """Floating-point operations per second of float32 products [rows, inner] x [inner, columns].

    The best of many repetitions.
    """
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    best, stop = math.inf, time.perf_counter() + RATE_S
    while time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(8):
            a @ b
        best = min(best, (time.perf_counter() - start) / 8)
    return 2 * rows * inner * columns / best


def measure(
    setup: Setup,
    editor: MethodEditor,
    cases: Sequence[EditCase],
    *,
    rate: float,
    flops: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Speed:
    """Propose all cases at once, timed; repeat it to count operations; then ask.

    Args:
        setup: setup of the editor.
        editor: its edits must not depend on live edits.
        cases: cases on different subjects.
        rate: operations per second of the machine.
        flops: operations of one edit; default: counted, after a first call that is not measured.
        tell: progress.
    """
    groups = [group_of(case) for case in cases]
    if flops is None:
        editor.propose(groups[:WARM], ())
    tell(f"{len(cases)} edits, {editor.name}")
    start = time.perf_counter()
    proposal = editor.propose(groups, ())
    seconds = time.perf_counter() - start
    if flops is None:
        tell("counting operations")
        flops = operations(editor, cases)
    tell(f"asking after {len(cases)} edits, {editor.name}")
    together, alone = _together(setup, proposal.edits, cases), _alone(setup, proposal.edits, cases)
    return Speed(
        edits=len(proposal.edits),
        seconds=seconds,
        edits_per_second=len(cases) / seconds,
        seconds_per_edit=seconds / len(cases),
        efficacy=together.share(Measure.RELIABILITY),
        generalization=together.share(Measure.GENERALIZATION),
        efficacy_alone=alone.share(Measure.RELIABILITY),
        gigaflops_per_edit=flops / 1e9,
        floor_seconds=flops * len(cases) / rate,
        floor_share=flops * len(cases) / rate / seconds,
    )


def operations(editor: MethodEditor, cases: Sequence[EditCase]) -> float:
    """Floating-point operations of matrix products of one edit, counted."""
    with one_thread(), FlopCounterMode(display=False) as counter:  # the counter sees one thread only
        editor.propose([group_of(case) for case in cases], ())
    return float(counter.get_total_flops()) / len(cases)


def plain_operations(setup: Setup, cases: Sequence[EditCase], *, steps: int) -> float:
    """`operations` of the plain editor, whose steps all take the same: reckoned from one and two of them."""
    one, two = (operations(PlainEditor(setup, steps=n), cases) for n in (1, 2))
    return one + (steps - 1) * (two - one)


def _together(setup: Setup, edits: Sequence[WeightEdit], cases: Sequence[EditCase]) -> AnswerCounts:
    """Answers with all edits in the model; all wrong if the edits cannot be folded."""
    asked = [one for case in cases for one in _questions(case)]
    try:
        patch = setup.fold.fold(edits)
    except EditError:
        return count(asked, [False] * len(asked))
    with setup.host.patched(patch):
        return count(asked, _said(setup, asked))


def _alone(setup: Setup, edits: Sequence[WeightEdit], cases: Sequence[EditCase]) -> AnswerCounts:
    """Answers with each edit alone in the model; wrong for a refused edit."""
    by_subject = {edit.subject: edit for edit in edits}
    asked, correct = [], list[bool]()
    for case in cases:
        edit, own = by_subject.get(case.fact.key.subject), _questions(case)
        asked += own
        if edit is None:
            correct += [False] * len(own)
            continue
        with setup.host.patched(setup.fold.fold([edit])):
            correct += _said(setup, own)
    return count(asked, correct)


def _said(setup: Setup, asked: Sequence[EditQuestion]) -> list[bool]:
    """Whether the model as it stands says each wanted answer at its place, whatever it would add."""
    spans = score_spans(setup.host, [Expected(one.prompt, one.wanted) for one in asked])
    return [span.said for span in spans]


def _questions(case: EditCase) -> list[EditQuestion]:
    return [one for one in questions([case], edited=()) if one.measure in CHANGED]


def compare_speed(
    setup: Setup,
    editor: MethodEditor,
    cases: Sequence[EditCase],
    *,
    batch: int,
    plain: int,
    others: Mapping[str, MethodEditor] = MappingProxyType({}),
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the default editor on `batch` facts, and the plain editor on the first `plain` of them.

    Args:
        setup: setup of all editors.
        editor: the default one.
        cases: cases on different subjects.
        batch: number of facts for the editor.
        plain: number of facts for the plain editor.
        others: further methods by name, also on `batch` facts.
        tell: progress.

    Returns:
        Plain data. `ratio` compares the edits per second, `where` has the shares of the editor's time.
    """
    d, f = setup.host.base_matrix(setup.layer).shape
    tell("matrix rate")
    rate = matrix_rate(512, d, f)
    fast = measure(setup, editor, cases[:batch], rate=rate, tell=tell)
    tell("counting operations, plain")
    whole = PlainEditor(setup)
    flops = plain_operations(setup, cases[: min(plain, COUNTED)], steps=whole.steps)
    slow = measure(setup, whole, cases[:plain], rate=rate, flops=flops, tell=tell)
    tell("shares of the time")
    groups = [group_of(case) for case in cases[:batch]]
    with one_thread():  # the profiler sees one thread only
        shares = time_shares(lambda: editor.propose(groups, ()))
    speeds = {
        name: asdict(measure(setup, other, cases[:batch], rate=rate, tell=tell))
        for name, other in others.items()
    }
    return {
        "batch": batch,
        **asdict(fast),
        "ratio": fast.edits_per_second / slow.edits_per_second,
        "matrix_gigaflops_per_second": rate / 1e9,
        "threads": torch.get_num_threads(),
        "plain": asdict(slow),
        "where": shares,
        "others": speeds,
    }
