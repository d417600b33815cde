"""Measures the time from submitting a correction to its first answer, while facts are on trial all the time.

Another thread drives both cycles of the system. Times are taken with this process's monotonic clock, from
before the message is submitted until after the first answer from the new fact.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from guardedit.agent.deciding import first_version
from guardedit.core.correction import decode_correction
from guardedit.core.messages import Delivery, Fate
from guardedit.ledger.inbox_writer import InboxWriter
from guardedit.runtime.system import System
from guardedit.zoo.world import World

#: Longest wait for one correction, in seconds. After that the correction counts as lost.
PATIENCE_S = 120.0
#: Seconds during which questions are counted.
ASKED_S = 5.0
#: Threads that ask at the same time.
ASKERS = 2
#: Seconds after which the receipt is checked, in case the correction has another fate than `accepted`.
SUSPICIOUS_S = 1.0
#: Seconds between two checks of the replica's epoch. Asking all the time would slow the system down.
LOOK_S = 0.001
#: Facts submitted at once while the memory is filled.
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCorrection:
    """A correction, its message, and the question that shows whether it is live."""

    id: str
    raw: bytes
    prompt: str

    @property
    def fact_id(self) -> str:
        """Id of the fact that it makes as the first correction of its key."""
        return first_version(decode_correction(self.raw)).id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLatency:
    """The measurements at one size of the memory.

    Attributes:
        facts: number of facts that were live before the measurement.
        corrections: number of corrections submitted one at a time.
        first_answer_s: seconds from submitting to the first answer from the new fact; NaN for a lost
            correction. Corrections that change nothing are left out, because they make no new fact.
        on_trial: share of the corrections during which the model worker was busy.
        corrections_per_s: corrections per second if the same number is submitted at once, until the last is
            live.
        questions_per_s: answers of one replica to `ASKERS` threads that ask one question at a time.
    """

    facts: int
    corrections: int
    first_answer_s: tuple[float, ...]
    on_trial: float
    corrections_per_s: float
    questions_per_s: float

    def quantile_s(self, share: float) -> float:
        """Quantile of `first_answer_s`; `share` in [0, 1]."""
        return float(np.quantile(self.first_answer_s, share))


def corrections_of(
    world: World, subjects: Sequence[str], *, seed: int, prefix: str, confidence: float, turn: int = 0
) -> Iterator[TimedCorrection]:
    """Endless counterfactual corrections of the world's facts about some subjects, in random order.

    Each turn is one pass over the subjects. After turn 0 the turn's number is appended to the subjects, which
    makes them unknown to the model. Streams that are live together must differ in subjects or in turns, or
    one would repeat facts of the other.

    Args:
        world: world of the model.
        subjects: subjects of the corrections.
        seed: seed of every random choice.
        prefix: prefix of the ids.
        confidence: confidence of the source, for the policy.
        turn: the first turn.
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
            yield TimedCorrection(id=str(body["id"]), raw=raw, prompt=wording.format(name))


def fill(
    system: System,
    inbox: InboxWriter,
    corrections: Sequence[TimedCorrection],
    *,
    name: str,
    tell: Callable[[str], None],
) -> None:
    """Submit many corrections and wait until the last one is live."""
    for start in range(0, len(corrections), CHUNK):
        chunk = corrections[start : start + CHUNK]
        inbox.receive(_deliveries(chunk, name, first=start))
        _wait_for(system, inbox, chunk[-1])
        tell(f"{start + len(chunk)} of {len(corrections)} facts are live")


def measure(
    system: System,
    inbox: InboxWriter,
    corrections: Sequence[TimedCorrection],
    *,
    facts: int,
    busy: Callable[[], bool],
    name: str,
    tell: Callable[[str], None],
) -> AnswerLatency:
    """Submit half of the corrections one at a time and the other half at once; then count questions.

    Args:
        system: running, with both cycles driven elsewhere.
        inbox: inbox of the same system.
        corrections: corrections to submit.
        facts: number of facts that are live already.
        busy: whether the model worker is working now.
        name: name of the submission.
        tell: progress.
    """
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
    return AnswerLatency(
        facts=facts,
        corrections=len(times),
        first_answer_s=tuple(times),
        on_trial=at_work / len(singly),
        corrections_per_s=rate,
        questions_per_s=_questions_per_s(system, [c.prompt for c in singly]),
    )


def _deliveries(corrections: Sequence[TimedCorrection], name: str, *, first: int = 0) -> list[Delivery]:
    return [
        Delivery(raw=correction.raw, source="submit", position=f"{name}:{n}")
        for n, correction in enumerate(corrections, start=first)
    ]


def _wait_for(
    system: System, inbox: InboxWriter, correction: TimedCorrection, *, after: int | None = None
) -> Fate | None:
    """Ask until the answer comes from the new fact. While epoch `after` still serves, wait without asking.

    Returns the correction's fate; None if it was lost.
    """
    wanted = correction.fact_id
    started = time.perf_counter()
    while (waited := time.perf_counter() - started) < PATIENCE_S:
        if (
            waited > SUSPICIOUS_S
            and (receipt := inbox.receipt(correction.id))
            and receipt.fate is not Fate.ACCEPTED
        ):
            return receipt.fate
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
