"""P4 with real threads: no answer mixes two epochs, however many are published meanwhile.

In every epoch facts and weights both name its number, so the text of an answer shows a mixture.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from guardedit.core.epoch import Change
from guardedit.core.serving import Answer, Update
from guardedit.serving.replica import ServingReplica
from tests.unit.serving.stand_ins import (
    SUBJECTS,
    EchoHost,
    HashedEncoder,
    NumberFold,
    edits_of,
    epoch_of,
    fact_of,
    shards,
    snapshot_of,
)

ANSWERS = 300
ASKING = 3


def replicas(count: int, shard_count: int, *, shared: bool = False) -> list[ServingReplica]:
    encoder = HashedEncoder()
    common = shards(shard_count, encoder)
    return [
        ServingReplica(EchoHost(), NumberFold(), common if shared else shards(shard_count, encoder))
        for _ in range(count)
    ]


def publish_until(done: threading.Event, served: list[ServingReplica]) -> int:
    """Epoch after epoch, every third as a snapshot; returns the last."""
    number = 1
    while not done.is_set():
        number += 1
        facts = [fact_of(subject, number) for subject in SUBJECTS]
        update = Update(
            after=number - 1,
            epoch=epoch_of(number),
            changes=tuple(Change(fact.key, fact) for fact in facts),
            edits=edits_of(number),
        )
        for replica in served:
            replica.publish(snapshot_of(number)) if number % 3 == 0 else replica.follow(update)
    return number


def numbers(answer: Answer) -> set[int]:
    """All epochs that contributed to an answer."""
    return {answer.epoch, *map(int, re.findall(r"(?:weights|city) (\d+)", answer.text))}


@pytest.mark.parametrize(
    ("count", "shard_count", "shared"),
    [(1, 1, False), (1, 3, False), (2, 1, False), (2, 2, True)],
    ids=["one replica", "three shards", "two replicas", "two replicas on the same shards"],
)
def test_no_answer_mixes_two_epochs(count, shard_count, shared):
    served = replicas(count, shard_count, shared=shared)
    for replica in served:
        replica.publish(snapshot_of(1))
    done = threading.Event()

    def ask(seed: int) -> list[Answer]:
        found: list[Answer] = []
        while len(found) < ANSWERS // ASKING:
            replica = served[(seed + len(found)) % count]
            asked = [f"The capital of {subject} is" for subject in SUBJECTS[: 1 + len(found) % 3]]
            answers = replica.ask(asked)
            assert len({answer.epoch for answer in answers}) == 1
            assert all(answer.placement == "memory" for answer in answers)
            found += answers
        return found

    with ThreadPoolExecutor(ASKING + 1) as threads:
        publisher = threads.submit(publish_until, done, served)
        asking = [threads.submit(ask, seed) for seed in range(ASKING)]
        try:
            answers = [answer for part in asking for answer in part.result(60)]
        finally:
            done.set()
        last = publisher.result(60)
    mixed = [answer for answer in answers if len(numbers(answer)) != 1]
    assert mixed == []
    assert len(answers) >= ANSWERS
    assert last > 3
    assert len({answer.epoch for answer in answers}) > 3


def test_says_and_ask_agree_while_epochs_are_published():
    """An answer of one epoch is confirmed in that epoch only."""
    (replica,) = replicas(1, 2)
    replica.publish(snapshot_of(1))
    done, question = threading.Event(), "Velmora is governed from"

    def check() -> int:
        wrong = 0
        for _ in range(60):
            before = replica.epoch()
            (answer,) = replica.ask([question])
            confirmed = replica.says([(question, answer.text), (question, answer.text)])
            assert confirmed[0] == confirmed[1]  # both from one epoch
            wrong += before == replica.epoch() and not confirmed[0]
        return wrong

    with ThreadPoolExecutor(2) as threads:
        publisher = threads.submit(publish_until, done, [replica])
        try:
            assert threads.submit(check).result(60) == 0
        finally:
            done.set()
        publisher.result(60)
