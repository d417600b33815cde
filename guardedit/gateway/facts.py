"""The live facts of a ledger for a model that guardedit does not run. Needs no HTTP server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guardedit import assembly
from guardedit.core.serving import Snapshot
from guardedit.gateway.following import LedgerFollower
from guardedit.ledger.next_epoch import genesis
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import begun, existing, exists
from guardedit.serving.facts_replica import FactsReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings


@contextmanager
def open_facts(
    settings: Settings, policy: Policy, *, tell: Callable[[str], None] = lambda _: None
) -> Iterator[FactsReplica]:
    """The live facts of a ledger, kept up to date; no model is loaded but the encoder."""
    tell("loading the encoder")
    memory = assembly.load_memory(settings, policy)
    replica = FactsReplica([MemoryShard(memory)], use_unsure=policy.memory.unsure == "use_fact")
    tell("reading the facts")
    replica.publish(_first(settings, policy))
    with LedgerFollower(settings, policy, replica):
        yield replica


def base_snapshot(base: str, policy: Policy) -> Snapshot:
    """Epoch 0: the base model without facts."""
    first = genesis(base_sha256=base, policy_sha256=policy.sha256, weights_sha256=base, at_s=time.time())
    return Snapshot(epoch=first.epoch)


def _first(settings: Settings, policy: Policy) -> Snapshot:
    if policy.mode != "shadow" and exists(settings):
        with existing(settings) as ledger:
            if begun(ledger):
                return ledger.snapshot()
    return base_snapshot("", policy)
