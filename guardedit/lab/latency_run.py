"""Measures latency on a running system with a given number of live facts, for `guardedit bench live`."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from guardedit.lab.latency import AnswerLatency, corrections_of, fill, measure
from guardedit.policy.schema import Policy
from guardedit.runtime.drive import drive
from guardedit.runtime.local import LocalSystem
from guardedit.runtime.opening import inbox
from guardedit.runtime.worker_process import WorkerProcess
from guardedit.settings import Settings
from guardedit.zoo.world import World

#: Corrections that go on trial during a measurement: more than can be tried during one measurement.
ON_TRIAL = 96


def measure_latency(
    settings: Settings,
    policy: Policy,
    facts: int,
    *,
    corrections: int,
    seed: int,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> AnswerLatency:
    """Start a system in a temporary folder, fill it with facts, and measure.

    One replica runs in this process, the model worker in another, as under `guardedit run`. Metrics and
    broker are off.

    Args:
        settings: names the model.
        policy: policy in force.
        facts: number of facts that are live before the measurement.
        corrections: number of corrections submitted one at a time; the same number is then submitted at once.
        seed: seed of the choice of facts.
        tell: progress.
        warn: called with the warnings of the running system.
    """
    with tempfile.TemporaryDirectory(prefix="guardedit-bench-") as folder:
        alone = replace(settings, home=Path(folder), metrics=None, redis_url="")
        tell(f"{facts} facts: starting the system")
        with LocalSystem(alone, policy, worker_process=True) as system, _driven(system, warn):
            return _measure(system, facts, corrections=corrections, seed=seed, tell=tell)


def _measure(
    system: LocalSystem, facts: int, *, corrections: int, seed: int, tell: Callable[[str], None]
) -> AnswerLatency:
    world = World.load()
    worker = system.worker
    assert isinstance(worker, WorkerProcess)
    subjects = sorted(world.by_subject)
    # A confidence of 0.8 makes a fact live without sending it on trial.
    known = corrections_of(world, subjects, seed=seed, prefix="known", confidence=0.8, turn=100)
    measured = corrections_of(world, subjects[::2], seed=seed + 1, prefix="new", confidence=0.8)
    tried = corrections_of(world, subjects[1::2], seed=seed + 2, prefix="trial", confidence=1.0)
    with inbox(system.settings) as ledger:
        fill(system, ledger, list(islice(known, facts)), name="known", tell=tell)
        fill(system, ledger, list(islice(tried, ON_TRIAL)), name="trial", tell=lambda _: None)
        return measure(
            system,
            ledger,
            list(islice(measured, 2 * corrections)),
            facts=facts,
            busy=worker.busy,
            name="new",
            tell=tell,
        )


@contextmanager
def _driven(system: LocalSystem, warn: Callable[[str], None]) -> Iterator[None]:
    """Run both cycles in another thread, as `guardedit run` does."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="live") as thread:
        ended = thread.submit(drive, system, stop, tell=lambda _: None, warn=warn)
        try:
            yield
        finally:
            stop.set()
        ended.result()
