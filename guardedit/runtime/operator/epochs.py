"""Describes one epoch for an operator: what it changed, and the verdict that let it be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardedit.core.epoch import Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """An epoch and how it differs from the one before it.

    Attributes:
        epoch: the epoch.
        facts: how many facts are live in it.
        changed: facts that are new in it, or have another version or placement than before.
        removed: keys that had a fact in the epoch before and have none in this one, sorted.
        verdict: verdict of the guard, as recorded; None for an epoch without a trial.
    """

    epoch: Epoch
    facts: int
    changed: tuple[Fact, ...]
    removed: tuple[FactKey, ...]
    verdict: Mapping[str, Any] | None


def epoch_record(ledger: LedgerReader, number: int) -> EpochRecord:
    """Compare an epoch with the one before it.

    Raises:
        UsageError: there is no such epoch.
    """
    epoch, live = ledger.epoch(number), ledger.live(number)
    previous = ledger.live(number - 1) if number else {}
    return EpochRecord(
        epoch=epoch,
        facts=len(live),
        changed=tuple(fact for fact in live.values() if previous.get(fact.key) != fact),
        removed=tuple(sorted(set(previous) - {fact.key for fact in live.values()})),
        verdict=ledger.verdict(number),
    )
