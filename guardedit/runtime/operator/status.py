"""Computes the state of a home folder for an operator, from its ledger alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from guardedit.agent.batch import waiting
from guardedit.agent.kept import KeptFacts
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Placement
from guardedit.core.ledger import Counts
from guardedit.core.messages import Fate
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun
from guardedit.runtime.operator.facts import kept_facts, live_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """A summary of the ledger at one time.

    Attributes:
        epoch: the serving epoch; None before a coordinator has started for the first time.
        last_good: number behind the ref `last-good`; None before there is one.
        facts: live facts by placement, without those that have expired.
        kept_in_memory: live facts that the policy wants in the weights and that stay out of them.
        kept_because: code of the reason -> number of the facts of `kept_in_memory`.
        waiting_for_weights: live facts that wait for a trial.
        quarantined: those of `kept_in_memory` that were taken out of the weights.
        held: corrections that wait for a person.
        perplexity_ratio: serving weights over base model, last measured; NaN before any measurement.
        counts: the ledger's totals.
    """

    epoch: Epoch | None
    last_good: int | None
    facts: Mapping[Placement, int]
    kept_in_memory: int
    kept_because: Mapping[str, int]
    waiting_for_weights: int
    quarantined: int
    held: int
    perplexity_ratio: float
    counts: Counts


def ledger_status(ledger: LedgerReader, *, now_s: float) -> LedgerStatus:
    """The status at `now_s` (seconds since 1970, UTC), which decides which facts have expired."""
    epoch = ledger.epoch() if begun(ledger) else None
    live = live_facts(ledger, epoch.number, now_s=now_s) if epoch else []
    reasons = [reason for _, reason in kept_facts(ledger, now_s=now_s)]
    states = [reason.state for reason in reasons]
    queue = waiting(ledger.live(), KeptFacts(ledger).now()) if epoch else []
    return LedgerStatus(
        epoch=epoch,
        last_good=ledger.refs().get("last-good"),
        facts={place: sum(fact.placement is place for fact in live) for place in Placement},
        kept_in_memory=len(states),
        kept_because=dict(Counter(reason.code for reason in reasons)),
        waiting_for_weights=len(queue),
        quarantined=states.count("quarantined"),
        held=len(ledger.entries(Fate.HELD, limit=-1)),
        perplexity_ratio=_last_perplexity_ratio(ledger),
        counts=ledger.counts(),
    )


def _last_perplexity_ratio(ledger: LedgerReader) -> float:
    readings = ledger.events(kinds=("reading",))
    if not readings:
        return math.nan
    try:
        return math.exp(readings[-1][2]["log_ratio_to_base"])
    except OverflowError:
        return math.inf
