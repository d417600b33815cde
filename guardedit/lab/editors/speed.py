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
from guardedit.lab.editors.measure import AnswerCounts, EditQuestion, Measure, ask, count, questions
from guardedit.lab.editors.plain import PlainEditor
from guardedit.lab.editors.time_shares import time_shares
from guardedit.models.threads import one_thread

#: Seconds over which the matrix rate is measured.
RATE_S = 0.5
#: Answers that an edit should change.
CHANGED = {Measure.RELIABILITY, Measure.GENERALIZATION}
#: Facts proposed before the clock starts: the first calls of a process are slower.
WARM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The speed and success of one editor.

    Attributes:
        edits: number of edits made. Answers of refused ones count as wrong.
        seconds: seconds for all of them.
        edits_per_second: facts over seconds.
        efficacy: share of own prompts answered with the target, with all edits in the model.
        generalization: the same for unseen wordings.
        efficacy_alone: share of own prompts, with each edit alone in the model.
        gigaflops_per_edit: matrix operations, counted.
        floor_seconds: time for these operations at the measured matrix rate of the machine.
        floor_share: `floor_seconds` over `seconds`.
    """

    edits: int
    seconds: float
    edits_per_second: float
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


def measure(setup: Setup, editor: MethodEditor, cases: Sequence[EditCase], *, rate: float) -> Speed:
    """Propose all cases at once, timed; repeat it to count operations; then ask.

    Args:
        setup: setup of the editor.
        editor: its edits must not depend on live edits.
        cases: cases on different subjects.
        rate: operations per second of the machine.
    """
    groups = [group_of(case) for case in cases]
    editor.propose(groups[:WARM], ())
    start = time.perf_counter()
    proposal = editor.propose(groups, ())
    seconds = time.perf_counter() - start
    with one_thread(), FlopCounterMode(display=False) as counter:  # the counter sees one thread only
        editor.propose(groups, ())
    flops = float(counter.get_total_flops())
    together, alone = _together(setup, proposal.edits, cases), _alone(setup, proposal.edits, cases)
    return Speed(
        edits=len(proposal.edits),
        seconds=seconds,
        edits_per_second=len(cases) / seconds,
        efficacy=together.share(Measure.RELIABILITY),
        generalization=together.share(Measure.GENERALIZATION),
        efficacy_alone=alone.share(Measure.RELIABILITY),
        gigaflops_per_edit=flops / len(cases) / 1e9,
        floor_seconds=flops / rate,
        floor_share=flops / rate / seconds,
    )


def _together(setup: Setup, edits: Sequence[WeightEdit], cases: Sequence[EditCase]) -> AnswerCounts:
    """Answers with all edits in the model; all wrong if the edits cannot be folded."""
    asked = [one for case in cases for one in _questions(case)]
    try:
        patch = setup.fold.fold(edits)
    except EditError:
        return count(asked, [False] * len(asked))
    with setup.host.patched(patch):
        return count(asked, ask(setup.host, asked))


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
            correct += ask(setup.host, own)
    return count(asked, correct)


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
    tell(f"{batch} edits")
    fast = measure(setup, editor, cases[:batch], rate=rate)
    tell(f"{plain} edits, plain")
    slow = measure(setup, PlainEditor(setup), cases[:plain], rate=rate)
    tell("shares of the time")
    with one_thread():  # the profiler sees one thread only
        shares = time_shares(lambda: editor.propose([group_of(case) for case in cases[:batch]], ()))
    speeds = {}
    for name, other in others.items():
        tell(f"{batch} edits, {name}")
        speeds[name] = asdict(measure(setup, other, cases[:batch], rate=rate))
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
