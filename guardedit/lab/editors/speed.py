"""How fast edits are made: the default editor against its own plain mode, in one run on the same facts.

Knows the clock, the operations of a proposal and the machine's matrix rate. Draws nothing.
"""

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
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Editor
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import group_of
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import Asked, Counts, Measure, ask, count, questions
from guardedit.lab.editors.plain import PlainEditor
from guardedit.lab.editors.where import where
from guardedit.models.threads import one_thread

#: Seconds over which the matrix rate is measured.
RATE_S = 0.5
#: What an edit shall change.
CHANGED = {Measure.RELIABILITY, Measure.GENERALIZATION}
#: Facts given to an editor before the clock runs: the first calls of a process are slower.
WARM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One way of making edits.

    Attributes:
        edits: made, of those asked for; refused ones count as wrong.
        seconds: for all of them.
        edits_per_second: asked for, over seconds.
        efficacy: share of own prompts answered with the whole object, all of these edits in the model.
        generalization: the same for unseen wordings.
        efficacy_alone: of own prompts, each edit alone in the model.
        gigaflops_per_edit: matrix operations, counted.
        floor_seconds: they take at the machine's measured matrix rate.
        floor_share: that over `seconds`.
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
    """Floating-point operations a second of float32 matrix products of this shape, the best of many."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    best, stop = math.inf, time.perf_counter() + RATE_S
    while time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(8):
            a @ b
        best = min(best, (time.perf_counter() - start) / 8)
    return 2 * rows * inner * columns / best


def measure(
    setup: Setup, editor: Editor, cases: Sequence[EditCase], *, rate: float
) -> tuple[Speed, Proposal]:
    """Propose all cases at once, timed; once more under a counter of operations; then ask.

    Args:
        setup: the editor's.
        editor: reads nothing live.
        cases: on different subjects.
        rate: operations a second.
    """
    groups = [group_of(case) for case in cases]
    editor.propose(groups[:WARM], ())
    start = time.perf_counter()
    proposal = editor.propose(groups, ())
    seconds = time.perf_counter() - start
    with one_thread(), FlopCounterMode(display=False) as counter:  # it counts one thread's
        editor.propose(groups, ())
    flops = float(counter.get_total_flops())
    together, alone = (ways(setup, proposal.edits, cases) for ways in (_together, _alone))
    return (
        Speed(
            edits=len(proposal.edits),
            seconds=seconds,
            edits_per_second=len(cases) / seconds,
            efficacy=together.share(Measure.RELIABILITY),
            generalization=together.share(Measure.GENERALIZATION),
            efficacy_alone=alone.share(Measure.RELIABILITY),
            gigaflops_per_edit=flops / len(cases) / 1e9,
            floor_seconds=flops / rate,
            floor_share=flops / rate / seconds,
        ),
        proposal,
    )


def _together(setup: Setup, edits: Sequence[WeightEdit], cases: Sequence[EditCase]) -> Counts:
    """Answers with all edits in the model."""
    asked = [one for case in cases for one in _questions(case)]
    try:
        patch = setup.fold.fold(edits)
    except EditError:
        return count(asked, [False] * len(asked))
    with setup.host.patched(patch):
        return count(asked, ask(setup.host, asked))


def _alone(setup: Setup, edits: Sequence[WeightEdit], cases: Sequence[EditCase]) -> Counts:
    """Answers with each edit alone in the model; a refused one has none."""
    by_subject = {edit.subject: edit for edit in edits}
    asked, right = [], list[bool]()
    for case in cases:
        edit, mine = by_subject.get(case.fact.key.subject), _questions(case)
        asked += mine
        if edit is None:
            right += [False] * len(mine)
            continue
        with setup.host.patched(setup.fold.fold([edit])):
            right += ask(setup.host, mine)
    return count(asked, right)


def _questions(case: EditCase) -> list[Asked]:
    return [one for one in questions([case], edited=()) if one.measure in CHANGED]


def compare_speed(
    setup: Setup,
    editor: Editor,
    cases: Sequence[EditCase],
    *,
    batch: int,
    plain: int,
    others: Mapping[str, Editor] = MappingProxyType({}),
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The editor on `batch` facts against the plain mode on the first `plain` of them.

    Args:
        setup: of all of them.
        editor: the default one.
        cases: on different subjects.
        batch: number of facts for the editor.
        plain: number of facts for the plain mode.
        others: further methods by name, on `batch` facts too.
        tell: progress.

    Returns:
        Plain data; `ratio` is that of the edits per second, `where` the shares of the editor's time.
    """
    d, f = setup.host.base_matrix(setup.layer).shape
    tell("matrix rate")
    rate = matrix_rate(512, d, f)
    tell(f"{batch} edits")
    fast, _ = measure(setup, editor, cases[:batch], rate=rate)
    tell(f"{plain} edits, plain")
    slow, _ = measure(setup, PlainEditor(setup), cases[:plain], rate=rate)
    tell("where the time goes")
    with one_thread():  # the profiler sees one
        spent = where(lambda: editor.propose([group_of(case) for case in cases[:batch]], ()))
    beside = {}
    for name, other in others.items():
        tell(f"{batch} edits, {name}")
        beside[name] = asdict(measure(setup, other, cases[:batch], rate=rate)[0])
    return {
        "batch": batch,
        **asdict(fast),
        "ratio": fast.edits_per_second / slow.edits_per_second,
        "matrix_gigaflops_per_second": rate / 1e9,
        "threads": torch.get_num_threads(),
        "plain": asdict(slow),
        "where": spent,
        "others": beside,
    }
