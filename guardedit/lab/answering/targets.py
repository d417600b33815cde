"""What `bench serve` asks: a replica in this process, or several in Ray actors behind the door."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from guardedit import assembly
from guardedit.core.correction import Correction, encode_correction
from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery
from guardedit.core.serving import Snapshot, Update
from guardedit.gateway.replicas.opening import open_door
from guardedit.lab.answering.served import MOST_ROWS, local_server, served_locally
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.runtime.local import LocalSystem
from guardedit.runtime.operator.answers import base_snapshot
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: Facts in memory during the measurement.
FACTS = 64
_TARGETS = ("Hamilton", "Oslo")


@dataclass(frozen=True, slots=True)
class Target:
    """A server that is measured.

    Attributes:
        url: its address.
        host: the same model in this process, for `generate`.
        publish: makes an epoch with other facts.
    """

    url: str
    host: ModelHost
    publish: Callable[[], None]


def question_about(n: int) -> str:
    """A question that a fact answers."""
    return f"The headquarters of Subject{n % FACTS} are in"


@contextmanager
def one_replica(settings: Settings, policy: Policy) -> Iterator[Target]:
    """A replica in this process; the home folder is not used. Answers end at their number of tokens only."""
    host = assembly.load_host(settings)
    host.stops = frozenset()
    memory = assembly.load_memory(settings, policy)
    fold = assembly.served_fold(settings, policy, host)
    replica = ServingReplica(host, fold, [MemoryShard(memory)], prompts=assembly.load_prompts(settings))
    replica.publish(
        Snapshot(epoch=_epoch(policy, host.base_sha256, 1), facts=tuple(_fact(n, 1) for n in range(FACTS)))
    )

    def publish() -> None:
        number = replica.epoch() or 0
        changes = tuple(Change(fact.key, fact) for fact in (_fact(n, number + 1) for n in range(FACTS)))
        epoch = _epoch(policy, host.base_sha256, number + 1)
        replica.follow(Update(after=number, epoch=epoch, changes=changes, edits=None))

    with served_locally(settings, policy, host=host, fold=fold, replica=replica, memory=memory) as url:
        yield Target(url, host, publish)


@contextmanager
def several_replicas(
    settings: Settings, policy: Policy, *, count: int, tell: Callable[[str], None]
) -> Iterator[Target]:
    """Replicas in Ray actors behind the door, on a new ledger whose coordinator runs in this process.

    Answers may end before their number of tokens, where the model ends them.
    """
    with tempfile.TemporaryDirectory(prefix="guardedit-bench-") as folder:
        own = replace(settings, home=Path(folder), metrics=None, redis_url="")
        with LocalSystem(own, policy) as system:
            version = 0

            def publish() -> None:
                nonlocal version
                version += 1
                system.coordinator.receive(
                    [
                        Delivery(
                            raw=encode_correction(_correction(n, version)),
                            source="bench",
                            position=f"{version}:{n}",
                        )
                        for n in range(FACTS)
                    ]
                )
                while not system.step_live().idle:
                    pass

            publish()
            door = open_door(own, policy, count=count, most_rows=MOST_ROWS, tell=tell)
            with door as opened, local_server(opened.app) as url:
                yield Target(url, system.loaded.host, publish)


def _epoch(policy: Policy, base: str, number: int) -> Epoch:
    return replace(base_snapshot(base, policy).epoch, number=number)


def _fact(n: int, version: int) -> Fact:
    subject = f"Subject{n}"
    return Fact(
        key=FactKey(subject, "P159"),
        version=version,
        correction_id=f"{version}-{n}",
        wordings=(f"The headquarters of {subject} are in",),
        target=_TARGETS[version % 2],
    )


def _correction(n: int, version: int) -> Correction:
    return Correction(
        id=f"{version}-{n}",
        subject=f"Subject{n}",
        relation="P159",
        prompt="The headquarters of {} are in",
        target_new=_TARGETS[version % 2],
    )
