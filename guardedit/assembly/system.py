"""Builds the memory, the ledger and the parts of a cycle."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from guardedit.agent.parts import Guard, Limits, Parts
from guardedit.assembly.base_check import compare_base
from guardedit.assembly.edit_cards import edit_layer, editing_sha256, find_card
from guardedit.assembly.limits import drift_watch, guard, load_noise
from guardedit.assembly.model_files import find_probes, known_questions, model_folder, tokenizer_check
from guardedit.assembly.prompts import load_prompts
from guardedit.core.errors import NoLedger
from guardedit.core.protocols import Clock, Observer, Replica, Source, Worker
from guardedit.core.serving import Snapshot
from guardedit.guard import DriftLimits, DriftWatch, NoDrift, NoGuard, bisect
from guardedit.ledger.opening import read_only
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.naming import name_of
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.reach import charged, reach
from guardedit.policy.schema import Policy
from guardedit.policy.sources import signer
from guardedit.settings import Settings
from guardedit.signing.keys import require_signing


def open_ledger(
    settings: Settings,
    policy: Policy,
    *,
    base_sha256: str | None,
    clock: Clock,
    writer: bool = True,
    role: str = "both",
) -> SqliteLedger:
    """Open the ledger in the home folder; `role` is the cycle that writes."""
    return SqliteLedger.open(
        settings.home,
        base_sha256=base_sha256,
        policy_sha256=policy.sha256,
        weights_sha256=base_sha256 or "",
        clock=clock,
        writer=writer,
        role=role,
        key=settings.ledger_key,
    )


def build_parts(
    *,
    settings: Settings,
    policy: Policy,
    ledger: SqliteLedger,
    worker: Worker,
    replicas: Sequence[Replica],
    sources: Sequence[Source],
    observe: Observer,
    clock: Clock,
    guarded: bool = True,
) -> Parts:
    """Build the parts of one cycle. Each cycle has a ledger object of its own.

    `guarded` False turns the guard and the drift watch off, for comparisons.

    Raises:
        UsageError: the policy has sources that sign, and a package is missing that checks signatures.
    """
    if policy.sources:
        require_signing()
    probes = find_probes(settings, policy)
    names = {name_of(question.subject) for question in probes.questions} if probes else set()
    card = find_card(settings, worker.base_sha256)
    limits = Limits(
        batch=policy.editing.batch,
        batch_wait_s=policy.editing.max_batch_wait_s,
        capacity_ratio=policy.guard.capacity_ratio_max if guarded else float("inf"),
        drift_ratio=policy.drift.perplexity_ratio_to_base,
        shadow=policy.mode == "shadow",
        newest_report_wins=policy.conflicts == "newest_report",
        repair_every_s=policy.serving.check_every_s,
        layer=edit_layer(policy, settings, card) if policy.writes_weights else 0,
        weights=policy.writes_weights,
        workers=settings.model_workers,
    )
    # Without a probe set nothing can be routed to the weights, so that there is nothing to guard.
    collapse_guard: Guard = (
        guard(policy, probes, load_prompts(settings, policy), load_noise(settings))
        if guarded and probes
        else NoGuard()
    )
    watch = drift_watch(policy)
    return Parts(
        sources=sources,
        ledger=ledger,
        decide=lambda correction, facts: decide(
            policy, correction, DecisionContext(**facts, reach=reach(correction, names))
        ),
        check=tokenizer_check(settings),
        signed_by=lambda received, correction: signer(
            policy.sources, received.raw, correction, received_at_s=received.received_at_s
        ),
        reach=lambda correction: charged(correction, names),
        known_questions=lambda subject: known_questions(probes, subject) if probes else (),
        worker=worker,
        guard=collapse_guard,
        bisect=bisect,
        drift=watch if guarded else DriftWatch(DriftLimits(max_ratio_to_base=float("inf")), [NoDrift()]),
        replicas=replicas,
        observe=observe,
        clock=clock,
        limits=limits,
        settings_sha256=editing_sha256(policy, settings, card),
        relations=policy.relations.declared,
    )


def last_snapshot(settings: Settings, epoch: int | None = None) -> Snapshot | None:
    """An epoch (default: the serving one) from the ledger; None before there is one."""
    with contextlib.suppress(NoLedger), _reading(settings) as ledger:
        return ledger.snapshot(epoch) if ledger.refs() else None
    return None


def require_unchanged_base(settings: Settings) -> None:
    """Raise WrongBaseModel if a file of the base model was changed, UsageError if there is no such model.

    Call it before the model is loaded.
    """
    model_folder(settings)  # raises when there is none
    with contextlib.suppress(NoLedger), _reading(settings) as ledger:
        if ledger.refs():
            compare_base(settings, ledger)


def _reading(settings: Settings) -> LedgerReader:
    # Whether there is a ledger is asked by opening it: beside a coordinator that starts at the same time,
    # its file can exist without any table.
    return read_only(settings.home, clock=time.time, key=settings.ledger_key)
