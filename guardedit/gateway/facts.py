"""The live facts of a ledger for a model that guardedit does not run. Needs no HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guardedit import assembly
from guardedit.gateway.following import LedgerFollower
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.answers import served_snapshot
from guardedit.serving.facts_replica import FactsReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings


@contextmanager
def open_facts(
    settings: Settings,
    policy: Policy,
    *,
    tell: Callable[[str], None] = lambda _: None,
    watch: Callable[[LedgerReader], None] | None = None,
) -> Iterator[FactsReplica]:
    """The live facts of a ledger, kept up to date; no model is loaded but the encoder.

    Args:
        settings: home folder of the ledger.
        policy: its memory section decides about questions of unsure scope.
        tell: called with a line of text when a stage begins.
        watch: as for `LedgerFollower`.
    """
    tell("loading the encoder")
    memory = assembly.load_memory(settings, policy)
    replica = FactsReplica([MemoryShard(memory)], use_unsure=policy.memory.unsure == "use_fact")
    tell("reading the facts")
    replica.publish(served_snapshot(settings, policy, ""))
    with LedgerFollower(settings, policy, replica, watch=watch):
        yield replica
