"""The live facts of a ledger for a model that guardedit does not run. Needs no HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from guardedit import assembly
from guardedit.core.fact import Fact
from guardedit.core.serving import ScopedFact
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
class FoundFacts:
    """What the memory says to a question.

    Attributes:
        used: the facts that it asks for, in the order in which it does, each with score and reason.
        epoch: the epoch that says so.
    """

    used: tuple[ScopedFact, ...]
    epoch: int

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts alone."""
        return tuple(one.fact for one in self.used)

    @property
    def fact(self) -> Fact | None:
        """The first of them; None if the question asks for none."""
        return self.facts[0] if self.used else None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer to the question says about its facts."""
        ids = ", ".join(fact.id for fact in self.facts)
        return {"X-Guardedit-Epoch": str(self.epoch), "X-Guardedit-Facts": ids}


def facts_for(replica: FactsReplica, question: AskedQuestion, *, tenant: str = "default") -> FoundFacts:
    """The facts that a question asks for."""
    readings = question.readings(partial(replica.subjects, tenant=tenant))
    found = replica.recalled(readings, tenant=tenant)
    return FoundFacts(next((used for used in found.used if used), ()), found.epoch)


async def facts_asked_for(
    replica: FactsReplica, question: AskedQuestion, *, tenant: str, timeout_s: float
) -> FoundFacts:
    """As `facts_for`, in a thread and with a limit of time.

    Raises:
        TimeoutError: the memory takes longer.
    """
    finding = asyncio.to_thread(facts_for, replica, question, tenant=tenant)
    return await asyncio.wait_for(finding, timeout_s)
