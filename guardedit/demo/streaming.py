"""Submits the demo stream to a running system, with one restart of the coordinator in the middle."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

from guardedit.agent.parts import StepReport
from guardedit.core.messages import Delivery
from guardedit.ledger.inbox_writer import InboxWriter
from guardedit.runtime.system import System
from guardedit.sources.jsonl import read_lines

#: Lines submitted before each turn of the loop, unless the demo's setting says otherwise.
CHUNK = 20
#: Most turns after the last line. A system that still has work to do after that is stuck.
MOST_TURNS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """A stream that was submitted and processed.

    Attributes:
        submitted: all messages, in order.
        turns: turns of the loop.
        seconds: seconds of work, without waiting for facts to expire.
        seconds_by_stage: stage -> seconds, summed over restarts of the coordinator.
        finished: whether no work was left at the end.
    """

    submitted: tuple[Delivery, ...]
    turns: int
    seconds: float
    seconds_by_stage: dict[str, float]
    finished: bool


def run_stream(
    system: System,
    inbox: InboxWriter,
    raw: bytes,
    *,
    name: str,
    settled_by_s: float,
    tell: Callable[[StepReport], None],
    chunk: int = CHUNK,
) -> StreamRun:
    """Submit `chunk` lines at a time with one turn after each, then take turns until no work is left.

    In the middle the coordinator is killed once, after lines were committed and before they are decided.

    Args:
        system: running.
        inbox: inbox of the same ledger.
        raw: JSON Lines.
        name: name of the submission.
        settled_by_s: seconds since 1970, UTC. The run does not end earlier, since facts have yet to expire.
        tell: called after each turn.
        chunk: lines before each turn.
    """
    started = time.monotonic()
    submitted = tuple(read_lines(io.BytesIO(raw), name="demo", submission=name))
    starts = range(0, len(submitted), chunk)
    spent: dict[str, float] = {}
    turns, waited_s = 0, 0.0
    for start in starts:
        inbox.receive(submitted[start : start + chunk])
        if start == starts[len(starts) // 2]:
            _add(spent, system.seconds_by_stage())
            system.restart_coordinator()
        tell(system.step())
        turns += 1
    finished = False
    while not finished and turns < len(starts) + MOST_TURNS:
        report = system.step()
        tell(report)
        turns += 1
        waiting_s = settled_by_s - time.time()
        finished = report.idle and waiting_s < 0
        if report.idle and not finished:
            time.sleep(waiting_s + 0.01)
            waited_s += waiting_s + 0.01
    _add(spent, system.seconds_by_stage())
    return StreamRun(
        submitted=submitted,
        turns=turns,
        seconds=time.monotonic() - started - waited_s,
        seconds_by_stage=spent,
        finished=finished,
    )


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for stage, seconds in more.items():
        total[stage] = total.get(stage, 0.0) + seconds
