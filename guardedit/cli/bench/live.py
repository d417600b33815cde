"""`guardedit bench live`: how soon a correction answers while trials run."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.measuring import numbers_in, telling
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.lab.liveness import Liveness
    from guardedit.runtime.local import LocalSystem

#: Corrections that go on trial during a measurement: more than a trial gets through.
ON_TRIAL = 96


def live(
    *,
    policy: PolicyFile = None,
    model: Model = None,
    sizes: Annotated[
        str, typer.Option(help="Facts live before each measurement.", metavar="N,N")
    ] = "0,1000,10000",
    corrections: Annotated[int, typer.Option(min=2, help="Corrections measured at each size.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Time from handing in a correction to its first answer, while facts are on trial all the time.

    Runs the system as `guardedit run` does, in a folder of its own that is removed afterwards: one replica
    in this process, the model worker in another. Also corrections and questions a second.
    """
    counts = numbers_in("--sizes", sizes)
    if not counts:
        raise UsageError("--sizes is empty: write how many facts shall be live, as 0,1000")
    from guardedit.policy.load import load_policy
    from guardedit.runtime.local import LocalSystem

    rules = load_policy(settings_from(policy=policy).policy)
    found = []
    with telling() as tell:
        for size in counts:
            with tempfile.TemporaryDirectory(prefix="guardedit-bench-") as folder:
                settings = replace(settings_from(Path(folder), policy, model), metrics=None, redis_url="")
                tell(f"{size} facts: starting")
                with LocalSystem(settings, rules, apart=True) as system, _driven(system):
                    found.append(_measured(system, size, corrections=corrections, seed=seed, tell=tell))
    rows = [_row(one) for one in found]
    if output is Output.JSON:
        show.record({"sizes": [asdict(one) for one in found]}, output)
        return
    show.rows(rows, list(rows[0]), output, empty="")


def _measured(
    system: LocalSystem, size: int, *, corrections: int, seed: int, tell: Callable[[str], None]
) -> Liveness:
    from guardedit.lab.liveness import corrections_of, fill, measure
    from guardedit.runtime.apart import WorkerApart
    from guardedit.runtime.opening import inbox
    from guardedit.zoo.world import World

    world = World.load()
    worker = system.worker
    assert isinstance(worker, WorkerApart)
    subjects = sorted(world.by_subject)
    # With less confidence they are to be live, not to be promoted.
    known = corrections_of(world, subjects, seed=seed, prefix="known", confidence=0.8, turn=100)
    measured = corrections_of(world, subjects[::2], seed=seed + 1, prefix="new", confidence=0.8)
    tried = corrections_of(world, subjects[1::2], seed=seed + 2, prefix="trial", confidence=1.0)
    with inbox(system.settings) as ledger:
        fill(system, ledger, list(islice(known, size)), name="known", tell=tell)
        fill(system, ledger, list(islice(tried, ON_TRIAL)), name="trial", tell=lambda _: None)
        return measure(
            system,
            ledger,
            list(islice(measured, 2 * corrections)),
            facts=size,
            busy=worker.busy,
            name="new",
            tell=tell,
        )


@contextmanager
def _driven(system: LocalSystem) -> Iterator[None]:
    """Both cycles running as they do under `guardedit run`."""
    from guardedit.runtime.drive import drive

    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="live") as thread:
        ended = thread.submit(drive, system, stop, tell=lambda _: None, warn=show.warn)
        try:
            yield
        finally:
            stop.set()
        ended.result()


def _row(found: Liveness) -> dict[str, Any]:
    return {
        "facts": found.facts,
        "corrections": found.corrections,
        "p50_ms": f"{found.quantile_s(0.5) * 1e3:.0f}",
        "p99_ms": f"{found.quantile_s(0.99) * 1e3:.0f}",
        "max_ms": f"{found.quantile_s(1.0) * 1e3:.0f}",
        "on_trial": f"{found.on_trial:.2f}",
        "corrections_per_s": f"{found.corrections_per_s:.0f}",
        "questions_per_s": f"{found.questions_per_s:.0f}",
    }
