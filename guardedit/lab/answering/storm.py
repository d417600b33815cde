"""Answers over HTTP while epochs change without pause: mixed, stale and failed ones are counted.

Each epoch gives other answers to the same questions, from memory and from the weights, see `epoch_mixing`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from guardedit import assembly
from guardedit.core.epoch import Change
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.core.serving import Snapshot, Update
from guardedit.lab.answering.clients import ClientLoad, client_process
from guardedit.lab.answering.served import served_locally
from guardedit.lab.epoch_mixing import snapshots_of
from guardedit.policy.schema import Policy
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings
from guardedit.zoo.world import World

#: The editing method. It takes seconds, and the quality of its edits does not matter here.
METHOD = "ridge"
TOKENS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class StormResult:
    """The counts.

    Attributes:
        answers: number of answers.
        told_apart: share of the questions that have different answers in different epochs.
        mixed: answers that are not those of the epoch they name.
        stale: answers that name an epoch which was replaced before they were asked.
        errors: answers that failed.
        switches: epochs published meanwhile.
        answers_per_s: of all clients together.
    """

    answers: int
    told_apart: float
    mixed: int
    stale: int
    errors: int
    switches: int
    answers_per_s: float


def measure_storm(
    settings: Settings,
    policy: Policy,
    *,
    answers: int,
    clients: int,
    seed: int,
    tell: Callable[[str], None],
) -> StormResult:
    """Ask a served embedded model from some clients while a thread keeps changing its epoch."""
    tell("loading the model")
    loaded = assembly.load_model(settings, policy)

    def edit(groups: Sequence[SubjectGroup]) -> tuple[tuple[WeightEdit, ...], str]:
        edits = loaded.editors[METHOD].propose(groups, ()).edits
        return edits, loaded.fold.weights_sha256(edits)

    tell("making epochs")
    snapshots = snapshots_of(World.load(), edit, base_sha256=loaded.host.base_sha256, seed=seed)
    questions = [fact.prompt for fact in snapshots[0].facts]
    memory = assembly.load_memory(settings, policy)
    replica = ServingReplica(
        loaded.host, loaded.fold, [MemoryShard(memory)], prompts=assembly.load_prompts(settings)
    )
    replica.publish(snapshots[-1])
    served = served_locally(
        settings, policy, host=loaded.host, fold=loaded.fold, replica=replica, memory=memory
    )
    with served as url, client_process() as load_of:
        wanted: dict[tuple[str, str], str] = {}
        for snapshot in snapshots:
            replica.publish(snapshot)
            quiet = load_of(url, questions, clients=1, tokens=TOKENS)
            wanted |= {(one.epoch, one.question): one.text for one in quiet.answers}
        tell(f"{answers} answers while epochs change")
        asked = [questions[n % len(questions)] for n in range(answers)]
        with _Publisher(replica, snapshots, seed) as publisher:
            load = load_of(url, asked, clients=clients, tokens=TOKENS)
    return _counted(load, wanted, publisher)


class _Publisher:
    """A thread that publishes the snapshots in random order, without pause, and notes when."""

    def __init__(self, replica: ServingReplica, snapshots: Sequence[Snapshot], seed: int) -> None:
        self._replica, self._snapshots, self._random = replica, snapshots, random.Random(seed)
        self.switched: list[tuple[float, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        serving = self._snapshots[-1].epoch
        while not self._done.is_set():
            following = self._random.choice([one for one in self._snapshots if one.epoch != serving])
            changes = tuple(Change(fact.key, fact) for fact in following.facts)
            self._replica.follow(
                Update(after=serving.number, epoch=following.epoch, changes=changes, edits=following.edits)
            )
            self.switched.append((time.perf_counter(), following.epoch.number))
            serving = following.epoch


def _counted(load: ClientLoad, wanted: dict[tuple[str, str], str], publisher: _Publisher) -> StormResult:
    questions = {question for _, question in wanted}
    apart = [
        len({text for (_, asked), text in wanted.items() if asked == question}) > 1 for question in questions
    ]
    good = [one for one in load.answers if one.status == 200]
    return StormResult(
        answers=len(load.answers),
        told_apart=sum(apart) / len(apart),
        mixed=sum(one.text != wanted[one.epoch, one.question] for one in good),
        stale=sum(replaced_before(publisher.switched, one.epoch, one.asked_s) for one in good),
        errors=len(load.answers) - len(good),
        switches=len(publisher.switched),
        answers_per_s=len(load.answers) / load.seconds,
    )


def replaced_before(switched: Sequence[tuple[float, int]], epoch: str, asked_s: float) -> bool:
    """Whether an epoch was not served any more at `asked_s` or later.

    Args:
        switched: when each epoch was published, and its number, in order.
        epoch: as an answer names it.
        asked_s: when the answer was asked.
    """
    number = int(epoch.rpartition("-")[2])
    ends = [at for at, _ in switched[1:]] + [float("inf")]
    ended = [end for (_, served), end in zip(switched, ends, strict=True) if served == number]
    return bool(ended) and max(ended) < asked_s
