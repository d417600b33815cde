"""The live facts of a ledger for a model that guardedit does not run. Needs no HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from guardedit import assembly
from guardedit.core.fact import Fact
from guardedit.gateway.conversation import AskedQuestion
from guardedit.gateway.following import LedgerFollower
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.answers import served_snapshot
from guardedit.serving.facts_replica import FactsReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: What a client is told when its question cannot be judged and the policy says to refuse it.
AWAY = "the memory cannot be asked at the moment: try again"


@dataclass(frozen=True, slots=True)
class OpenFacts:
    """The live facts of a ledger.

    Attributes:
        replica: finds them.
        follower: keeps them up to date.
    """

    replica: FactsReplica
    follower: LedgerFollower


@contextmanager
def open_facts(
    settings: Settings,
    policy: Policy,
    *,
    tell: Callable[[str], None] = lambda _: None,
    watch: Callable[[LedgerReader], None] | None = None,
) -> Iterator[OpenFacts]:
    """The live facts of a ledger, kept up to date; no model is loaded but the encoder.

    Args:
        settings: home folder of the ledger.
        policy: its memory section decides about questions of unsure scope.
        tell: called with a line of text when a stage begins.
        watch: as for `LedgerFollower`.
    """
    tell("loading the encoder")
    memory = assembly.load_memory(settings, policy, keep=True)
    replica = FactsReplica([MemoryShard(memory)], use_unsure=policy.memory.unsure == "use_fact")
    tell("reading the facts")
    replica.publish(served_snapshot(settings, policy, ""))
    with LedgerFollower(settings, policy, replica, watch=watch) as follower:
        yield OpenFacts(replica, follower)


@dataclass(frozen=True, slots=True)
class FoundFact:
    """What the memory says to a question.

    Attributes:
        fact: the fact that it asks for; None if it asks for none.
        epoch: the epoch that says so.
    """

    fact: Fact | None
    epoch: int

    @property
    def headers(self) -> dict[str, str]:
        """What the answer to the question says about its fact."""
        return {"X-Guardedit-Epoch": str(self.epoch), "X-Guardedit-Facts": self.fact.id if self.fact else ""}


def find_fact(replica: FactsReplica, question: AskedQuestion, *, tenant: str = "default") -> FoundFact:
    """The fact that a question asks for."""
    readings = question.readings(partial(replica.subjects, tenant=tenant))
    found = replica.recalled(readings, tenant=tenant)
    return FoundFact(next((fact for fact in found.facts if fact), None), found.epoch)


async def fact_asked_for(
    replica: FactsReplica, question: AskedQuestion, *, tenant: str, timeout_s: float
) -> FoundFact:
    """As `find_fact`, in a thread and with a limit of time.

    Raises:
        TimeoutError: the memory takes longer.
    """
    finding = asyncio.to_thread(find_fact, replica, question, tenant=tenant)
    return await asyncio.wait_for(finding, timeout_s)
