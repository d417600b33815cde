"""SIGKILL at named points of the running loop, then a restart: nothing lost, nothing applied twice.

Each trial forks a process that has everything imported and the model loaded, so a kill costs a fraction of a
second. The child dies at the failpoint; the parent opens the ledger again and finishes the work.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest
import torch

from guardedit import assembly
from guardedit.agent.loop import Loop
from guardedit.core.messages import Delivery, Fate
from guardedit.runtime.consolidator import Consolidator
from guardedit.runtime.coordinator import Coordinator
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

POINTS = (
    "inbox.insert.before",
    "inbox.insert.after",
    "ledger.settle.before",
    "ledger.settle.after",
    "blob.write-half",
    "blob.rename",
    "edit.remember.after",
    "ledger.commit.before",
    "ledger.commit.after",
    "promote.proposed",
    "promote.tried",
    "watch.noted",
    "publish.before:3",
)


@pytest.fixture(scope="module")
def loaded(warm_home, policy):
    torch.set_num_threads(1)
    bench = assembly.load_model(Settings(home=warm_home, metrics=None), policy)
    shard = MemoryShard(assembly.load_memory(Settings(home=warm_home), policy))
    return assembly.model_worker(bench), ServingReplica(bench.host, bench.fold, [shard])


class Running:
    """Both cycles on a model that is loaded already."""

    def __init__(self, settings, policy, worker, replica) -> None:
        self.coordinator = Coordinator(settings, policy, worker, [replica])
        self.consolidator = Consolidator(
            settings, policy, worker, [replica], observe=self.coordinator.observe
        )
        self._ledger, self.receive = self.coordinator._ledger, self.coordinator.receive

    def step(self):
        return Loop(self.coordinator.live, self.consolidator.consolidate).step()

    def close(self) -> None:
        self.consolidator.close()
        self.coordinator.close()


@pytest.fixture
def start(settings, policy, loaded):
    return lambda: Running(settings, policy, *loaded)


def run_and_die(start, deliveries, point: str, acked) -> int:
    """In a child: receive, report what was acknowledged, and step; returns how it ended."""
    child = os.fork()
    if child == 0:
        os.environ["GUARDEDIT_FAILPOINT"] = point
        try:
            running = start()
            running.receive(deliveries)
            acked.write_text("yes")
            for _ in range(6):
                running.step()
        except BaseException as error:  # noqa: BLE001 - a child must not return into pytest
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
        os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_loses_nothing_and_repeats_nothing(settings, start, loaded, changes, point):
    made = changes(5, seed=30)
    deliveries = [Delivery(raw=c.raw, source="submit", position=f"x:{n}") for n, c in enumerate(made)]
    acked = settings.home / "acked"
    start().close()
    ended = run_and_die(start, deliveries, point, acked)
    assert os.WIFSIGNALED(ended), f"{point} was never reached"
    assert os.WTERMSIG(ended) == signal.SIGKILL

    running = start()
    ledger = running._ledger
    try:
        if acked.exists():
            assert len(ledger.entries()) == len(made)
        running.receive(deliveries)  # the broker hands over again what it heard no ack for
        for _ in range(12):
            if running.step().idle:
                break
        entries = ledger.entries()
        assert [e.fate for e in entries] == [Fate.ACCEPTED] * len(made)
        assert len({e.correction_id for e in entries}) == len(made)
        live = ledger.live()
        assert sorted(f.correction_id for f in live.values()) == sorted(c.id for c in made)
        assert all(f.version == 1 for f in live.values())
        epoch = ledger.epoch()
        assert loaded[0].weights_sha256(ledger.edits()) == epoch.weights_sha256
        assert ledger.verify() == []
    finally:
        running.close()
