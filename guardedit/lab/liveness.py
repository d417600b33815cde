"""How soon a correction answers, while facts are on trial all the time.

Knows a running system by its face: both cycles are being driven by somebody else. Times are of this process's
monotonic clock, from before the message is handed in until after the first answer from the new fact.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from guardedit.agent.deciding import as_told
from guardedit.core.correction import decode_correction
from guardedit.core.messages import Delivery
from guardedit.core.receipt import Fate, Receipt
from guardedit.core.serving import Answer
from guardedit.zoo.world import World

#: Longest wait for one correction, in seconds; beyond it the correction counts as lost.
PATIENCE_S = 120.0
#: How long questions are counted, in seconds.
ASKED_S = 5.0
#: Threads that ask at the same time.
ASKERS = 2
#: From when on it is asked whether the correction was settled otherwise, in seconds.
SUSPICIOUS_S = 1.0
#: How often the replica's epoch is looked at, in seconds: asking all the time would slow what is measured.
LOOK_S = 0.001
#: Facts handed in at once while the memory is filled.
CHUNK = 500


class System(Protocol):
    """A running guardedit whose two cycles are driven elsewhere."""

    def served(self) -> int | None:
        """The epoch that the replica answers from."""

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Ask a replica."""


class Inbox(Protocol):
    """Where messages are handed in, and what became of them."""

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit them; returns how many are new."""

    def receipt(self, correction_id: str) -> Receipt | None:
        """What became of a correction; None while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A message, and how to see that it is live."""

    id: str
    raw: bytes
    prompt: str

    @property
    def fact_id(self) -> str:
        """Of the fact that it makes where nothing is known of its key."""
        return as_told(decode_correction(self.raw)).id


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """What was measured at one size of the memory.

    Attributes:
        facts: live before the measurement.
        corrections: handed in one at a time.
        first_answer_s: seconds from handing in to the first answer from the new fact; NaN for one lost. Those
            that said what is served already are left out: nothing becomes live by them.
        on_trial: share of the corrections during which the model worker was at work.
        corrections_per_s: of as many handed in at once, until the last is live.
        questions_per_s: answered by one replica, asked by `ASKERS` threads one at a time.
    """

    facts: int
    corrections: int
    first_answer_s: tuple[float, ...]
    on_trial: float
    corrections_per_s: float
    questions_per_s: float

    def quantile_s(self, share: float) -> float:
        """Of the times to the first answer."""
        return float(np.quantile(self.first_answer_s, share))


def corrections_of(
    world: World, subjects: Sequence[str], *, seed: int, prefix: str, confidence: float, turn: int = 0
) -> Iterator[Correction]:
    """Endless counterfactual corrections of the world's facts about some subjects, in random order.

    From turn 1 on the subjects are given its number, and are then about nobody the model knows. Streams
    that are live together need other subjects or turns: what one has said is no news from another.
    """
    rng = random.Random(seed)
    for number in itertools.count(turn):
        for n, subject in enumerate(rng.sample(list(subjects), len(subjects))):
            known = rng.choice(world.by_subject[subject])
            target = rng.choice([name for name in world.objects[known.relation] if name != known.object])
            wording = rng.choice(world.wordings[known.relation])
            name = f"{subject} {number}" if number else subject
            body = {
                "id": f"{prefix}{number}-{n}",
                "subject": name,
                "relation": known.relation,
                "prompt": wording,
                "target_new": target,
                "provenance": {"source": "bench", "confidence": confidence},
            }
            raw = json.dumps(body).encode()
            yield Correction(id=str(body["id"]), raw=raw, prompt=wording.format(name))


def fill(
    system: System, inbox: Inbox, corrections: Sequence[Correction], *, name: str, tell: Callable[[str], None]
) -> None:
    """Hand many corrections in and wait until the last one answers."""
    for start in range(0, len(corrections), CHUNK):
        chunk = corrections[start : start + CHUNK]
        inbox.receive(_deliveries(chunk, name, first=start))
        _wait_for(system, inbox, chunk[-1])
        tell(f"{start + len(chunk)} of {len(corrections)} facts are live")


def measure(
    system: System,
    inbox: Inbox,
    corrections: Sequence[Correction],
    *,
    facts: int,
    busy: Callable[[], bool],
    name: str,
    tell: Callable[[str], None],
) -> Liveness:
    """Half of the corrections one at a time, the other half at once; then questions about the first half."""
    singly, together = corrections[: len(corrections) // 2], corrections[len(corrections) // 2 :]
    times, at_work = [], 0
    for n, correction in enumerate(singly):
        at_work += busy()
        before, started = system.served(), time.perf_counter()
        inbox.receive(_deliveries([correction], name, first=n))
        fate = _wait_for(system, inbox, correction, after=before)
        if fate is not Fate.UNCHANGED:
            times.append(time.perf_counter() - started if fate else float("nan"))
        if n % 50 == 49:
            tell(
                f"{facts} facts: {n + 1} of {len(singly)} corrections, median {np.median(times) * 1e3:.0f} ms"
            )
    started = time.perf_counter()
    inbox.receive(_deliveries(together, f"{name}-together"))
    _wait_for(system, inbox, together[-1])
    rate = len(together) / (time.perf_counter() - started)
    return Liveness(
        facts=facts,
        corrections=len(times),
        first_answer_s=tuple(times),
        on_trial=at_work / len(singly),
        corrections_per_s=rate,
        questions_per_s=_questions_per_s(system, [c.prompt for c in singly]),
    )


def _deliveries(corrections: Sequence[Correction], name: str, *, first: int = 0) -> list[Delivery]:
    return [
        Delivery(raw=correction.raw, source="submit", position=f"{name}:{n}")
        for n, correction in enumerate(corrections, start=first)
    ]


def _wait_for(
    system: System, inbox: Inbox, correction: Correction, *, after: int | None = None
) -> Fate | None:
    """Ask until the answer comes from the new fact; while epoch `after` serves nobody asks: it cannot.

    Returns what became of the correction, None where it was lost.
    """
    wanted = correction.fact_id
    started = time.perf_counter()
    while (waited := time.perf_counter() - started) < PATIENCE_S:
        if (
            waited > SUSPICIOUS_S
            and (told := inbox.receipt(correction.id))
            and told.fate is not Fate.ACCEPTED
        ):
            return told.fate
        if after is not None and system.served() == after:
            time.sleep(LOOK_S)
        elif system.ask([correction.prompt])[0].fact_id == wanted:
            return Fate.ACCEPTED
    return None


def _questions_per_s(system: System, prompts: Sequence[str]) -> float:
    until_s = time.perf_counter() + ASKED_S

    def ask(which: int) -> int:
        asked = 0
        for prompt in itertools.cycle(prompts[which::ASKERS]):
            if time.perf_counter() > until_s:
                break
            system.ask([prompt])
            asked += 1
        return asked

    with ThreadPoolExecutor(ASKERS) as threads:
        return sum(threads.map(ask, range(ASKERS))) / ASKED_S
