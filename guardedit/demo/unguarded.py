"""The same stream through a second system, beside the one that is shown. For comparison only.

The same system with its guard off, or one that keeps every fact in memory. Ends once the model is gone: what
comes after is as lost as what came before, and takes as long.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardedit.core.probe import Probes
from guardedit.demo.campaign import CHUNK, MOST_TURNS, Inbox, System
from guardedit.demo.expected import DemoStream
from guardedit.demo.scores import fluency
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.sources.jsonl import read_lines

#: A perplexity ratio beyond which nothing is left to lose. Disabled is a model far below that.
GONE = 10.0


def kept_in_memory(policy: Policy) -> Policy:
    """The same policy, but what it sends to the weights stays in memory."""
    body = policy.model_dump(mode="json", by_alias=True)
    for rule in body["rules"]:
        if rule["route"] == "weights":
            rule |= {"route": "memory", "method": None}
    return Policy.model_validate_json(json.dumps(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a second model fared.

    Attributes:
        curve: (lines handed in, perplexity ratio) after each change of the weights; infinite beyond numbers.
        lines: handed in until the model was gone, else all of the stream.
        edits: in the weights at the end.
        seconds: of work, without the measuring.
    """

    curve: tuple[tuple[int, float], ...]
    lines: int
    edits: int
    seconds: float

    @property
    def gone(self) -> bool:
        """Whether the run was ended because nothing was left of the model."""
        return bool(self.curve) and not self.curve[-1][1] < GONE


def run_beside(
    system: System,
    inbox: Inbox,
    ledger: LedgerReader,
    stream: DemoStream,
    texts: Sequence[str],
    *,
    name: str,
    tell: Callable[[int, float], None] = lambda *_: None,
    chunk: int = CHUNK,
    clock: Callable[[], float] = time.monotonic,
) -> Course:
    """Hand lines in chunk by chunk, a turn after each, as the guarded run does.

    Args:
        system: running.
        inbox: of the same system.
        ledger: of the same system.
        stream: what can be folded. Edits that cannot are no model, guard or not: leave them out before.
        texts: for the perplexity; not the guard's.
        name: of the submission.
        tell: lines handed in, perplexity ratio.
        chunk: lines a turn.
        clock: seconds.
    """
    probes = Probes(texts=tuple(texts))
    base = system.worker.measure((), probes).logprobs
    messages = tuple(read_lines(io.BytesIO(stream.raw), name="demo", submission=name))
    curve: list[tuple[int, float]] = []
    weights, handed, seconds = system.epoch().weights_sha256, 0, 0.0
    for _ in range(len(messages) // chunk + MOST_TURNS):
        started = clock()
        if handed < len(messages):
            inbox.receive(messages[handed : handed + chunk])
            handed = min(handed + chunk, len(messages))
        report = system.step()
        seconds += clock() - started
        now = system.epoch().weights_sha256
        if now != weights:
            weights = now
            ratio = fluency(system.worker.measure(ledger.edits(), probes).logprobs, base).ratio
            curve.append((handed, math.inf if math.isnan(ratio) else ratio))
            tell(*curve[-1])
        if (curve and not curve[-1][1] < GONE) or (report.idle and handed == len(messages)):
            break
    return Course(curve=tuple(curve), lines=handed, edits=len(ledger.edits()), seconds=seconds)
