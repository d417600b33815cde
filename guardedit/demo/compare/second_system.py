"""Runs the demo stream through a second system for comparison: without a guard, or with memory alone.

The run ends early when the model is ruined: the remaining lines could not change that, and each of them would
still take its time.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardedit.core.probe import Probes
from guardedit.demo.scores import compare_perplexity
from guardedit.demo.stream.expected import DemoStream
from guardedit.demo.streaming import CHUNK, MOST_TURNS
from guardedit.ledger.inbox_writer import InboxWriter
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.runtime.system import System
from guardedit.sources.jsonl import read_lines

#: A run ends at this perplexity ratio. A model is disabled far below it.
RUINED_RATIO = 10.0


def memory_only(policy: Policy) -> Policy:
    """The same policy, except that facts for the weights stay in memory."""
    body = policy.model_dump(mode="json", by_alias=True)
    for rule in body["rules"]:
        if rule["route"] == "weights":
            rule |= {"route": "memory", "method": None}
    return Policy.model_validate_json(json.dumps(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRun:
    """The result of a comparison run.

    Attributes:
        curve: (lines submitted, perplexity ratio) after each change of the weights; infinite where there is
            no perplexity.
        lines: submitted until the model was ruined, or all.
        edits: number of edits in the weights at the end.
        seconds: seconds of work, without the measurements.
    """

    curve: tuple[tuple[int, float], ...]
    lines: int
    edits: int
    seconds: float

    @property
    def ruined(self) -> bool:
        """Whether the run ended because the model was ruined."""
        return bool(self.curve) and not self.curve[-1][1] < RUINED_RATIO


def run_second_system(
    system: System,
    inbox: InboxWriter,
    ledger: LedgerReader,
    stream: DemoStream,
    texts: Sequence[str],
    *,
    name: str,
    tell: Callable[[int, float], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
    chunk: int = CHUNK,
) -> ComparisonRun:
    """Submit `chunk` lines at a time with a turn after each, as in `streaming.run_stream`.

    Args:
        system: running.
        inbox: inbox of the same system.
        ledger: ledger of the same system.
        stream: stream without edits that cannot be folded, because they make no model that could be measured.
        texts: texts for measuring perplexity; not the guard's.
        name: name of the submission.
        tell: progress; takes lines submitted and perplexity ratio.
        clock: clock in seconds.
        chunk: lines before each turn.
    """
    probes = Probes(texts=tuple(texts))
    base = system.worker.measure((), probes).logprobs
    messages = tuple(read_lines(io.BytesIO(stream.raw), name="demo", submission=name))
    curve: list[tuple[int, float]] = []
    weights, submitted, seconds = system.epoch().weights_sha256, 0, 0.0
    for _ in range(len(messages) // chunk + MOST_TURNS):
        started = clock()
        if submitted < len(messages):
            inbox.receive(messages[submitted : submitted + chunk])
            submitted = min(submitted + chunk, len(messages))
        report = system.step()
        seconds += clock() - started
        now = system.epoch().weights_sha256
        if now != weights:
            weights = now
            ratio = compare_perplexity(system.worker.measure(ledger.edits(), probes).logprobs, base).ratio
            curve.append((submitted, math.inf if math.isnan(ratio) else ratio))
            tell(*curve[-1])
        if (curve and not curve[-1][1] < RUINED_RATIO) or (report.idle and submitted == len(messages)):
            break
    return ComparisonRun(curve=tuple(curve), lines=submitted, edits=len(ledger.edits()), seconds=seconds)
