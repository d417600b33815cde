"""The same system on Ray; each kind of actor is killed and rebuilds itself. One Ray for the module."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from guardedit.core.protocols import Delivery
from guardedit.ledger.journal import SqliteLedger
from guardedit.runtime.cluster import RaySystem

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def running(tmp_path_factory, warm_home, policy) -> Iterator[RaySystem]:
    import shutil

    from guardedit.settings import Settings

    home = tmp_path_factory.mktemp("ray") / "home"
    shutil.copytree(warm_home / "moments", home / "moments")
    with RaySystem(Settings(home=home, metrics=None), policy) as system:
        yield system


def put(system: RaySystem, rows: list[bytes], name: str) -> None:
    with SqliteLedger.open(system.settings.home, clock=lambda: 0.0, writer=False) as ledger:
        deliveries = [
            Delivery(raw=raw, source="submit", position=f"{name}:{n}") for n, raw in enumerate(rows)
        ]
        ledger.receive(deliveries)


def settle(system: RaySystem) -> None:
    for _ in range(40):
        if system.step().idle:
            return
    raise AssertionError(f"not idle: {system.status()}")


def right(system: RaySystem, made: list) -> float:
    found = system.ask([change.prompt for change in made])
    return sum(a.text == c.target for a, c in zip(found, made, strict=True)) / len(made)


def test_corrections_go_the_whole_way_through_actors(running: RaySystem, changes: Callable):
    made = changes(5, seed=20, prefix="ray-a")
    put(running, [c.raw for c in made], "a")
    settle(running)
    assert right(running, made) == 1.0
    assert running.status().weights > 0


def test_a_killed_coordinator_comes_back_and_goes_on(running: RaySystem, changes: Callable):
    made = changes(4, seed=21, prefix="ray-b")
    put(running, [c.raw for c in made], "b")
    before = running.epoch()
    running.kill(running.coordinator)
    settle(running)
    assert running.epoch().number > before.number
    assert right(running, made) == 1.0


@pytest.mark.parametrize(("kind", "seed"), [("workers", 22), ("shards", 23)])
def test_a_killed_worker_or_shard_comes_back(running: RaySystem, changes: Callable, kind: str, seed: int):
    made = changes(3, seed=seed, prefix=f"ray-{kind}")
    before = running.epoch()
    running.kill(getattr(running, kind)[0])
    put(running, [c.raw for c in made], kind)
    settle(running)
    assert running.epoch().number > before.number
    assert right(running, made) == 1.0


def test_a_killed_replica_serves_the_same_epoch_again(running: RaySystem):
    before = running.ask(["The capital of Bavaria is"])
    running.kill(running.replica)
    after = running.ask(["The capital of Bavaria is"])
    assert after == before
    assert after[0].epoch == running.epoch().number
