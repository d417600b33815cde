"""Streams facts through a whole system, whose policy and guard decide where each of them is answered from."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from guardedit import assembly
from guardedit.agent.parts import StepReport
from guardedit.assembly.edit_cards import EDIT_CARDS
from guardedit.assembly.model_files import MOMENTS
from guardedit.core.correction import Correction, encode_correction
from guardedit.core.messages import Delivery, Fate
from guardedit.lab.field.asking import AskedState
from guardedit.lab.field.scoring import Tell
from guardedit.lab.field.written import Written
from guardedit.ledger.reading import LedgerReader
from guardedit.memory.context import Prompts
from guardedit.policy.schema import Policy
from guardedit.runtime.drive import drain
from guardedit.runtime.local import LocalSystem
from guardedit.runtime.opening import existing, inbox
from guardedit.settings import Settings

#: The source that the inbox records.
SOURCE = "evaluate"


@contextmanager
def temporary_system(settings: Settings, policy: Policy) -> Iterator[LocalSystem]:
    """A local system with a ledger in a temporary folder, which is deleted at the end.

    Second moments and edit cards are those of the home folder. No broker and no metrics server is used.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="guardedit-evaluate-")))
        for name in (MOMENTS, EDIT_CARDS):
            kept = (settings.home / name).absolute()
            kept.mkdir(parents=True, exist_ok=True)
            (home / name).symlink_to(kept, target_is_directory=True)
        mine = replace(settings, home=home, metrics=None, redis_url="", runtime="local")
        yield stack.enter_context(LocalSystem(mine, policy))


def write_by_policy(
    system: LocalSystem, corrections: Sequence[Correction], *, tell: Tell = lambda *_: None
) -> Written:
    """Submit all facts and work until nothing waits.

    Args:
        system: new, without facts.
        corrections: the facts, in order.
        tell: progress.
    """
    started = time.perf_counter()
    deliveries = [
        Delivery(raw=encode_correction(one), source=SOURCE, position=str(n))
        for n, one in enumerate(corrections, start=1)
    ]
    with inbox(system.settings) as box:
        box.receive(deliveries)
    drain(system, threading.Event(), _Progress(len(corrections), tell))
    seconds = time.perf_counter() - started
    snapshot = assembly.last_snapshot(system.settings)
    folded = system.loaded.fold.folded(snapshot.edits if snapshot else ())
    with existing(system.settings) as ledger:
        placements = _placements(ledger, corrections)

    def texts(questions: Sequence[str], prompts: Prompts) -> list[str]:
        return system.replica.given(questions, prompts=prompts)

    def answer(questions: Sequence[str], max_tokens: int | None) -> list[str]:
        return [one.text for one in system.replica.ask(questions, max_tokens=max_tokens)]

    status = system.status()
    return Written(
        state=AskedState(host=system.loaded.host, patch=folded.patch, texts=texts, answer=answer),
        placements=placements,
        seconds=seconds,
        account={
            "weights_sha256": folded.sha256,
            "epoch": status.epoch,
            "trials": status.trials,
            "perplexity_ratio": status.perplexity_ratio,
            "seconds_by_stage": system.seconds_by_stage(),
        },
    )


class _Progress:
    """Adds up the reports of the turns."""

    def __init__(self, corrections: int, tell: Tell) -> None:
        self._corrections, self._tell = corrections, tell
        self._settled = self._promoted = self._kept = 0

    def __call__(self, report: StepReport) -> None:
        self._settled += report.settled
        self._promoted += report.promoted
        self._kept += report.kept
        doing = f"settling, {self._promoted} facts in the weights"
        self._tell(doing, self._promoted + self._kept, max(self._settled, self._corrections))


def _placements(ledger: LedgerReader, corrections: Sequence[Correction]) -> Mapping[str, int]:
    """Number of facts by placement of the live fact; those without one by their fate."""
    live = {fact.correction_id: fact.placement.value for fact in ledger.live().values()}
    found: Counter[str] = Counter()
    for correction in corrections:
        receipt = ledger.receipt(correction.id)
        fate = Fate.RECEIVED if receipt is None else receipt.fate
        found[live.get(correction.id, fate.value)] += 1
    return dict(sorted(found.items()))
