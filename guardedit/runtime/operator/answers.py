"""Answers questions from the serving epoch in this process, without a coordinator."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardedit.core.serving import Answer, Snapshot
from guardedit.ledger.epochs import SERVING
from guardedit.runtime.opening import begun, existing, exists, is_date, moment_s, number_of
from guardedit.runtime.operator.as_of import snapshot_as_of
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.policy.schema import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Which facts answer: those that hold at `as_of_s` (seconds since 1970, UTC), as `epoch` knew them.

    Without a time these are the facts of the epoch itself. `epoch` is a number, a ref or a date.
    """

    as_of_s: float | None = None
    epoch: str = SERVING


#: The facts that are live now.
PRESENT = Past()


def answer_here(
    settings: Settings,
    policy: Policy,
    questions: Sequence[str],
    *,
    tenant: str,
    max_tokens: int | None = None,
    past: Past = PRESENT,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Answer]:
    """Load the model, build a replica of the serving epoch or of the past, and ask it.

    The ledger is only read, so a coordinator may run at the same time.

    Args:
        settings: model and home folder.
        policy: its memory section decides about questions of unsure scope.
        questions: each ends where its answer begins.
        tenant: whose facts count, besides those of `default`.
        max_tokens: as for a replica.
        past: which facts answer.
        tell: called with a line of text when a stage begins.

    Raises:
        WrongBaseModel: a file of the base model has changed since the ledger recorded it.
        UsageError: there is no such epoch.
    """
    from guardedit import assembly
    from guardedit.serving.replica import ServingReplica
    from guardedit.serving.shard import MemoryShard

    tell("checking the files of the base model")
    assembly.require_unchanged_base(settings)
    served, at_s = _past_snapshot(settings, policy, past)
    with assembly.borrowed_cache(settings) as cache:
        tell("loading the model")
        loaded = assembly.load_model(settings, policy, cache=cache)
        shard = MemoryShard(assembly.load_memory(settings, policy, keep=True))
        use_unsure = policy.memory.unsure == "use_fact"
        replica = ServingReplica(
            loaded.host,
            loaded.fold,
            [shard],
            use_unsure=use_unsure,
            prompts=assembly.load_prompts(settings, policy),
            clock=time.time if at_s is None else lambda: at_s,
        )
        tell("publishing the serving epoch" if at_s is None else "publishing the facts of that time")
        replica.publish(served or served_snapshot(settings, policy, loaded.host.base_sha256))
        tell("answering")
        return replica.ask(questions, tenant=tenant, max_tokens=max_tokens)


def _past_snapshot(
    settings: Settings, policy: Policy, past: Past
) -> tuple[Snapshot, float] | tuple[None, None]:
    """The snapshot to answer from, and the time of its answers; nothing for the present one."""
    if past == PRESENT:
        return None, None
    with existing(settings) as ledger:
        number = number_of(ledger, past.epoch, now_s=time.time())
        if policy.mode == "shadow":
            number = 0
        if past.as_of_s is not None:
            return snapshot_as_of(ledger, past.as_of_s, epoch=number), past.as_of_s
        made = ledger.snapshot(number)
        at_s = moment_s(past.epoch, "--epoch") if is_date(past.epoch) else made.epoch.created_at_s
        return made, at_s


def served_snapshot(settings: Settings, policy: Policy, base_sha256: str) -> Snapshot:
    """The serving epoch. In shadow mode, and before the first epoch, this is the base model alone.

    Args:
        settings: home folder of the ledger.
        policy: its mode.
        base_sha256: digest of the loaded model; "" for facts without a model.

    Raises:
        WrongBaseModel: the ledger belongs to another model.
    """
    if exists(settings):
        with existing(settings) as ledger:
            if begun(ledger):
                if base_sha256:
                    ledger.compare_base(base_sha256)
                return ledger.snapshot(0 if policy.mode == "shadow" else None)
    return base_snapshot(base_sha256, policy)


def base_snapshot(base_sha256: str, policy: Policy) -> Snapshot:
    """Epoch 0: the base model without facts."""
    from guardedit.ledger.next_epoch import genesis

    first = genesis(
        base_sha256=base_sha256,
        policy_sha256=policy.sha256,
        weights_sha256=base_sha256,
        at_s=time.time(),
    )
    return Snapshot(epoch=first.epoch)
