"""The system on Ray: each kind of actor is killed and recovers. One Ray cluster for the module."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import ray

import guardedit
from guardedit.core.errors import LedgerBusy, UsageError, WrongBaseModel
from guardedit.core.messages import Delivery
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.actors import WorkerActor, start_actor
from guardedit.runtime.calls import call
from guardedit.runtime.cluster import RaySystem

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def running(tmp_path_factory, warm_home, policy) -> Iterator[RaySystem]:
    import shutil

    from guardedit.settings import Address, Settings

    home = tmp_path_factory.mktemp("ray") / "home"
    shutil.copytree(warm_home / "moments", home / "moments")
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics = Address("127.0.0.1", free.getsockname()[1])
    with RaySystem(Settings(home=home, metrics=metrics), policy) as system:
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


def test_corrections_are_processed_by_actors(running: RaySystem, changes: Callable):
    made = changes(5, seed=20, prefix="ray-a")
    put(running, [c.raw for c in made], "a")
    settle(running)
    assert right(running, made) == 1.0
    assert running.status().weights > 0


def test_healthz_knows_the_turns_of_both_actors(running: RaySystem):
    metrics = running.settings.metrics
    assert metrics is not None
    running.step()
    with urlopen(f"http://{metrics.host}:{metrics.port}/healthz") as answer:
        body = json.loads(answer.read())
    assert body["status"] == "ok"
    assert set(body["seconds_since_turn"]) == {"live", "consolidate"}
    assert max(body["seconds_since_turn"].values()) < 30


def test_metrics_and_undo_by_source_reach_the_actors(running: RaySystem):
    body = {"id": "feed-1", "subject": "Ray Feed", "prompt": "The home of {} is", "target_new": "Oslo"}
    put(
        running, [json.dumps({**body, "provenance": {"source": "ray-feed", "confidence": 0.5}}).encode()], "f"
    )
    settle(running)
    page, kind = running.metrics("text/plain")
    assert (b"guardedit_corrections_total" in page, kind.startswith("text/plain")) == (True, True)
    epoch = running.undo_source("ray-feed")
    assert (epoch.kind, epoch.reason) == ("undo", "undo of source 'ray-feed': 1 facts")


@pytest.mark.parametrize(("cycle", "seed"), [("coordinator", 21), ("consolidator", 24)])
def test_a_killed_cycle_is_restarted_and_continues(
    running: RaySystem, changes: Callable, cycle: str, seed: int
):
    made = changes(3, seed=seed, prefix=f"ray-{cycle}")
    put(running, [c.raw for c in made], cycle)
    before = running.epoch()
    running.kill(getattr(running, cycle))
    settle(running)
    assert running.epoch().number > before.number
    assert right(running, made) == 1.0


@pytest.mark.parametrize(("kind", "seed"), [("workers", 22), ("shards", 23)])
def test_a_killed_worker_or_shard_is_restarted(running: RaySystem, changes: Callable, kind: str, seed: int):
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


def test_a_second_driver_is_refused_while_the_first_one_drives(running: RaySystem):
    running.step_live()
    with pytest.raises(LedgerBusy, match="is driven by"):
        call(running.coordinator.drive, "another machine, process 7")
    running.step_live()


def descendants(of: int) -> set[int]:
    """Process ids below a process, itself included."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {of}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets_of(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.add(path.readlink().name)  # socket:[INODE]
    return found


def listening(pids: set[int]) -> list[tuple[int, str, int]]:
    """(pid, address, port) of every TCP socket on which one of the processes listens, as `ss -ltnp`."""
    owners = {name: pid for pid in pids for name in sockets_of(pid)}
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (row.split()[n] for n in (1, 3, 9))
            pid = owners.get(f"socket:[{inode}]")
            if pid is not None and state == "0A":
                address, _, port = local.partition(":")
                found.append((pid, read_address(address), int(port, 16)))
    return found


def read_address(text: str) -> str:
    """As the kernel writes it: words of four bytes, each in the machine's own order."""
    words = [bytes.fromhex(text[n : n + 8]) for n in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(raw)
    return str(getattr(found, "ipv4_mapped", None) or found)


def test_nothing_of_it_listens_but_on_the_loopback_address(running: RaySystem):
    assert running.epoch() is not None
    found = listening(descendants(os.getpid()))
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid, _, _ in found}
    assert {"gcs_server", "raylet"} < names
    assert sum(name.startswith("ray::") for name in names) >= 4  # the actors
    assert [row for row in found if not ipaddress.ip_address(row[1]).is_loopback] == []


def test_a_wide_open_socket_would_be_found():
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert (os.getpid(), "0.0.0.0", server.getsockname()[1]) in listening({os.getpid()})


JOIN = """
import sys, ray
from guardedit.runtime.actors import COORDINATOR
from guardedit.runtime.calls import call
from guardedit.runtime.handles import NAMESPACE
from guardedit.runtime.loopback import joining
with joining(sys.argv[1]):
    ray.init(address=sys.argv[1], namespace=NAMESPACE, log_to_driver=False)
print(call(ray.get_actor(COORDINATOR, namespace=NAMESPACE).epoch).number)
"""


def test_another_process_can_join_it_there(running: RaySystem):
    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    done = subprocess.run(
        [sys.executable, "-c", JOIN, address],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(guardedit.__file__).parents[1])},
    )
    assert done.stdout.strip() == str(running.epoch().number), done.stderr


def test_an_actor_that_cannot_start_says_why_in_its_own_words(running: RaySystem):
    (running.settings.home / "no-model").mkdir()  # a folder without a model
    nowhere = replace(running.settings, model=str(running.settings.home / "no-model"))
    fresh = replace(nowhere, home=running.settings.home / "fresh")
    for settings, kind, says in (
        (nowhere, WrongBaseModel, "config.json is absent, recorded is"),
        (fresh, UsageError, "no-model is not a model folder"),
    ):
        actor = start_actor(WorkerActor, settings, running.policy, None, 1, name=f"failing-{kind.__name__}")
        with pytest.raises(kind, match=says):
            call(actor.base)
        ray.kill(actor, no_restart=True)
