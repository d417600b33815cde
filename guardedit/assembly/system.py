"""The ledger, the sources, the memory, and the loop that joins them with everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from guardedit.agent.loop import Agent
from guardedit.agent.parts import Guard, Limits, Parts
from guardedit.assembly.base_check import compare_base
from guardedit.assembly.edit_cards import editing_sha256, find_card
from guardedit.assembly.limits import drift_watch, guard
from guardedit.assembly.model_files import known_questions, load_probes
from guardedit.core.correction import Correction
from guardedit.core.protocols import Clock, Observer, Replica, Snapshot, Source, Workbench
from guardedit.guard import DriftLimits, DriftWatch, NoDrift, NoGuard, bisect
from guardedit.ledger.journal import SqliteLedger
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.sources.registry import open_source


def load_memory(settings: Settings, policy: Policy) -> RetrievalMemory:
    """An empty retrieval memory with its encoder."""
    encoder = SentenceEncoder.load(settings.encoder or None)
    section = policy.memory
    calibrated = ScopeThresholds.load()
    thresholds = replace(
        calibrated,
        accept=calibrated.accept if section.accept_threshold is None else section.accept_threshold,
        reject=calibrated.reject if section.unsure_threshold is None else section.unsure_threshold,
    )
    return RetrievalMemory(encoder, thresholds)


def open_ledger(
    settings: Settings, policy: Policy, *, base_sha256: str | None, clock: Clock, writer: bool = True
) -> SqliteLedger:
    """The ledger in the home folder."""
    return SqliteLedger.open(
        settings.home,
        base_sha256=base_sha256,
        policy_sha256=policy.sha256,
        weights_sha256=base_sha256 or "",
        clock=clock,
        writer=writer,
    )


def open_sources(settings: Settings) -> list[Source]:
    """The brokers named in the environment; the ledger's own inbox needs none."""
    if not settings.redis_url:
        return []
    options = urlencode({"stream": settings.redis_stream, "group": settings.redis_group})
    return [open_source(f"{settings.redis_url}{'&' if '?' in settings.redis_url else '?'}{options}")]


def build_agent(
    *,
    settings: Settings,
    policy: Policy,
    ledger: SqliteLedger,
    workbench: Workbench,
    replicas: Sequence[Replica],
    check: Callable[[Correction], None],
    sources: Sequence[Source],
    observe: Observer,
    clock: Clock,
    guarded: bool = True,
) -> Agent:
    """The loop, with everything it talks to. `guarded` False is for comparison only."""
    probes = load_probes(settings)
    watch = drift_watch(policy)
    limits = Limits(
        batch=policy.editing.batch,
        batch_wait_s=policy.editing.max_batch_wait_s,
        capacity_ratio=policy.guard.capacity_ratio_max if guarded else float("inf"),
        drift_ratio=policy.drift.perplexity_ratio_to_base,
        shadow=policy.mode == "shadow",
    )
    collapse_guard: Guard = guard(policy, probes) if guarded else NoGuard()
    return Agent(
        Parts(
            sources=sources,
            journal=ledger,
            decide=lambda correction, facts: decide(policy, correction, DecisionContext(**facts)),
            check=check,
            known_questions=lambda subject: known_questions(probes, subject),
            workbench=workbench,
            guard=collapse_guard,
            bisect=bisect,
            drift=watch if guarded else DriftWatch(DriftLimits(max_ratio_to_base=float("inf")), [NoDrift()]),
            replicas=replicas,
            observe=observe,
            clock=clock,
            limits=limits,
            settings_sha256=editing_sha256(policy, settings, find_card(settings, workbench.base_sha256)),
        )
    )


def last_snapshot(settings: Settings) -> Snapshot | None:
    """The serving epoch as the ledger has it; None before there is a ledger."""
    if not (settings.home / "ledger.db").is_file():
        return None
    with SqliteLedger.open(settings.home, clock=time.time, writer=False) as ledger:
        return Snapshot(epoch=ledger.epoch(), edits=ledger.edits(), facts=tuple(ledger.live().values()))


def unchanged_base(settings: Settings) -> None:
    """WrongBaseModel where a part of the base was changed; said before anything is loaded with it."""
    if not (settings.home / "ledger.db").is_file():
        return
    with SqliteLedger.open(settings.home, clock=time.time, writer=False) as ledger:
        if ledger.refs():
            compare_base(settings, ledger)
