"""Counts answers that mix two epochs, while epochs change during the questions.

Each epoch gives different answers to the same questions, from memory and from the weights. First each epoch
is asked while nothing changes. Later, an answer is mixed if it names an epoch but is not that epoch's answer.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Replica, SubjectGroup
from guardedit.core.serving import Snapshot, Update
from guardedit.zoo.world import World

#: Number of epochs that are published in turn, and of facts in each: half in memory, half in the weights.
EPOCHS, FACTS = 4, 8
#: Threads that ask one replica at the same time.
ASKERS = 2

#: Makes weight edits for some subjects. Returns them and the digest of the folded weights.
Edit = Callable[[Sequence[SubjectGroup]], tuple[tuple[WeightEdit, ...], str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixingResult:
    """The counts of one measurement.

    Attributes:
        replicas: number of replicas asked at the same time.
        told_apart: share of the questions that have different answers in different epochs. Only these can
            reveal a mixture.
        answers: number of answers in total.
        mixed: answers that are not those of the epoch they name.
        epochs: number of different epochs that answers named.
        switches: epochs published during the measurement.
        answers_per_s: answers per second of all replicas together.
    """

    replicas: int
    told_apart: float
    answers: int
    mixed: int
    epochs: int
    switches: int
    answers_per_s: float


def snapshots_of(world: World, edit: Edit, *, base_sha256: str, seed: int) -> list[Snapshot]:
    """Epochs about the same facts, each with other targets in memory and in the weights."""
    rng = random.Random(seed)
    known = [rng.choice(world.by_subject[name]) for name in rng.sample(sorted(world.by_subject), FACTS)]
    made = []
    for number in range(1, EPOCHS + 1):
        facts = []
        for n, one in enumerate(known):
            objects = sorted(set(world.objects[one.relation]) - {one.object})
            target = objects[(n + number) % len(objects)]
            facts.append(
                Fact(
                    key=FactKey(one.subject, one.relation),
                    version=number,
                    correction_id=f"{number}-{n}",
                    wordings=(world.prompt(one, 0),),
                    target=target,
                    placement=Placement.WEIGHTS if n % 2 else Placement.MEMORY,
                )
            )
        inside = [fact for fact in facts if fact.placement is Placement.WEIGHTS]
        edits, sha256 = edit([SubjectGroup(subject=f.key.subject, facts=(f,)) for f in inside])
        epoch = Epoch(
            number=number,
            kind="promote",
            base_sha256=base_sha256,
            policy_sha256="",
            weights_sha256=sha256,
            edits=tuple(e.digest for e in edits),
            state_sha256="",
            created_at_s=0.0,
        )
        made.append(Snapshot(epoch=epoch, edits=edits, facts=tuple(facts)))
    return made


def measure(
    replicas: Sequence[Replica],
    snapshots: Sequence[Snapshot],
    *,
    answers: int,
    seed: int,
    tell: Callable[[str], None],
) -> MixingResult:
    """Ask every replica from `ASKERS` threads while another thread keeps changing its epoch.

    Args:
        replicas: equal replicas.
        snapshots: snapshots of epochs with equal questions.
        answers: the measurement ends after this many.
        seed: seed of the order of epochs.
        tell: progress.
    """
    questions = [fact.prompt for fact in snapshots[0].facts]
    wanted: dict[tuple[int, str], str] = {}  # (epoch, question) -> answer
    for snapshot in snapshots:
        replicas[0].publish(snapshot)
        answered = replicas[0].ask(questions)
        wanted |= {(snapshot.epoch.number, q): a.text for q, a in zip(questions, answered, strict=True)}
    for replica in replicas:
        replica.publish(snapshots[-1])
    done, counts = threading.Event(), [0, 0]  # answers, mixed
    seen: set[int] = set()
    lock, started = threading.Lock(), time.perf_counter()

    def publish(replica: Replica, which: int) -> int:
        switches, rng, serving = 0, random.Random(seed + which), snapshots[-1].epoch
        while not done.is_set():
            following = rng.choice([one for one in snapshots if one.epoch != serving])
            changes = tuple(Change(fact.key, fact) for fact in following.facts)
            update = Update(
                after=serving.number, epoch=following.epoch, changes=changes, edits=following.edits
            )
            replica.follow(update)
            serving, switches = following.epoch, switches + 1
        return switches

    def ask(replica: Replica) -> None:
        while not done.is_set():
            rows = [(a.epoch, q, a.text) for q, a in zip(questions, replica.ask(questions), strict=True)]
            with lock:
                counts[0] += len(rows)
                counts[1] += sum(text != wanted[epoch, q] for epoch, q, text in rows)
                seen.update(epoch for epoch, _, _ in rows)
                tell(f"{counts[0]} of {answers} answers, {counts[1]} mixed")
                if counts[0] >= answers:
                    done.set()

    with ThreadPoolExecutor(len(replicas) * (ASKERS + 1)) as threads:
        publishers = [threads.submit(publish, replica, n) for n, replica in enumerate(replicas)]
        askers = [threads.submit(ask, replica) for replica in replicas for _ in range(ASKERS)]
        try:
            for asker in askers:
                asker.result()
        finally:
            done.set()
        switches = sum(publisher.result() for publisher in publishers)
    return MixingResult(
        replicas=len(replicas),
        told_apart=sum(len({wanted[s.epoch.number, q] for s in snapshots}) > 1 for q in questions)
        / len(questions),
        answers=counts[0],
        mixed=counts[1],
        epochs=len(seen),
        switches=switches,
        answers_per_s=counts[0] / (time.perf_counter() - started),
    )
