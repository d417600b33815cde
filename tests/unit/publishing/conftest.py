"""A ledger with epochs to publish, and the three kinds of destinations."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest

from guardedit.core.correction import Correction, Provenance, encode_correction
from guardedit.core.decision import Decision, Route, RuleTrace
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, Placement
from guardedit.core.messages import Delivery, Fate, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.publish import DirectoryDestination, FleetDestination, ObjectsDestination
from guardedit.publishing.destination import Destination
from guardedit.publishing.directory import Directory
from guardedit.publishing.fleet import Fleet
from guardedit.publishing.making import BundleMaker
from guardedit.publishing.objects import Objects
from guardedit.publishing.publisher import Passed, Publisher
from guardedit.publishing.steps import Step
from tests.unit.publishing.vllm_server import BASE, VllmServer

KINDS = ("directory", "memory objects", "file objects", "fleet")


class Clock:
    """A millisecond more each time; a test adds what it needs."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


def write_adapter(snapshot: Snapshot, folder: Path) -> None:
    """Bytes that depend on the weights alone, in place of an adapter that takes a model to make."""
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
    (folder / "adapter_model.safetensors").write_bytes(snapshot.epoch.weights_sha256.encode() * 100)


@dataclass
class World:
    """A ledger, and what makes bundles from it."""

    home: Path
    clock: Clock
    ledger: SqliteLedger
    made: list[str] = field(default_factory=list)  # weights whose adapter was made

    @property
    def maker(self) -> BundleMaker:
        def write(snapshot: Snapshot, folder: Path) -> None:
            self.made.append(snapshot.epoch.weights_sha256)
            write_adapter(snapshot, folder)

        return BundleMaker(self.home / "publish", write)

    @property
    def serving(self) -> int:
        return self.ledger.ref("serving")

    def remember(self, n: int, target: str = "Oslo") -> Fact:
        """One more epoch, with one more fact in memory."""
        of = Correction(
            id=f"c{n}-{target}", subject=f"Land {n}", prompt="The capital of {} is", target_new=target,
            provenance=Provenance(time_s=5.0),
        )  # fmt: skip
        self.ledger.receive([Delivery(raw=encode_correction(of), source="file", position=f"{n}-{target}")])
        [row] = self.ledger.pending(9)
        fact = Fact(
            key=of.key, version=self.ledger.latest_version(of.key) + 1, correction_id=of.id,
            wordings=of.wordings, target=target, reported_at_s=5.0,
        )  # fmt: skip
        trace = (RuleTrace(rule="all", matched=True, because="no condition"),)
        decision = Decision(route=Route.MEMORY, rule="all", reason="-", policy_sha256="p", trace=trace)
        self.ledger.settle(
            [Settlement(seq=row.seq, fate=Fate.ACCEPTED, reason="-", correction=of, decision=decision,
                        change=Change(of.key, fact))]
        )  # fmt: skip
        return fact

    def promote(self, *facts: Fact) -> None:
        """One more epoch, in which the weights hold exactly these facts."""
        live = self.ledger.live()
        changes = [
            Change(
                key, fact.placed(Placement.WEIGHTS if fact.id in {f.id for f in facts} else Placement.MEMORY)
            )
            for key, fact in live.items()
        ]
        edits = [
            WeightEdit(
                subject=one.key.subject,
                facts=(one.id,),
                method="memit",
                payload=one.id.encode(),
                diagnostics={},
            )
            for one in facts
        ]
        ids = "".join(sorted(one.id for one in facts))
        weights = hashlib.sha256(ids.encode()).hexdigest() if facts else self.ledger.base_sha256
        self.ledger.commit(
            [change for change in changes if live[change.key] != change.fact],
            kind="promote", reason="-", edits=edits, weights_sha256=weights, expected=self.serving,
        )  # fmt: skip

    def publish(self, destination: Destination, *, steps: list[Step] | None = None) -> Passed:
        """One pass over the serving epoch."""
        tell = steps.append if steps is not None else lambda _: None
        publisher = Publisher(self.ledger, destination, clock=self.clock, tell=tell)
        return publisher.publish(self.maker.bundle(self.ledger.snapshot()))

    def phases(self) -> dict[tuple[str, str], str]:
        return {(one.replica, one.name): one.phase for one in self.ledger.publications()}

    def active(self, destination: Destination) -> tuple[str, int] | None:
        found = self.ledger.activations().get(destination.name)
        return (found.name, found.epoch) if found else None


def open_world(home: Path, clock: Clock) -> World:
    ledger = SqliteLedger.open(home, base_sha256="b" * 64, weights_sha256="b" * 64, clock=clock)
    return World(home, clock, ledger)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that can be had: a commit waits for the disk, and these tests make thousands."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="publish-", dir=memory) as path:
        yield Path(path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Epoch 1: one fact, in memory."""
    found = open_world(tmp_path / "home", Clock())
    found.remember(1)
    yield found
    found.ledger.close()


@pytest.fixture
def servers() -> Iterator[list[VllmServer]]:
    """Three replicas."""
    made = [VllmServer() for _ in range(3)]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def fleet(tmp_path: Path, servers: list[VllmServer]) -> Callable[..., Fleet]:
    """A fleet of the three replicas, with other settings where they are given."""

    def make(*, key: str = "", **settings: Any) -> Fleet:
        replicas = tuple(one.url for one in servers)
        given = {
            "name": "fleet", "kind": "vllm", "replicas": replicas, "model": BASE, "alias": "corrected",
            "path": str(tmp_path / "adapters"), "load_timeout_s": 5.0, **settings,
        }  # fmt: skip
        return Fleet(FleetDestination(**given), key=key)

    return make


@pytest.fixture
def directory(tmp_path: Path) -> Callable[..., Directory]:
    def make(**settings: Any) -> Directory:
        path = str(tmp_path / "lake")
        return Directory(DirectoryDestination(name="lake", kind="directory", path=path, **settings))

    return make


@pytest.fixture(params=KINDS)
def destination(
    request: pytest.FixtureRequest, tmp_path: Path, directory: Callable[..., Directory]
) -> Callable[..., Destination]:
    """Makes a destination of each kind; with the same settings it is the same place."""
    if request.param == "fleet":
        return request.getfixturevalue("fleet")
    if request.param == "directory":
        return directory
    url = f"memory://{uuid.uuid4().hex}" if request.param == "memory objects" else f"file://{tmp_path}/store"

    def make(**settings: Any) -> Objects:
        return Objects(ObjectsDestination(name="bucket", kind="objects", url=url, **settings))

    return make


def contents(destination: Destination, servers: list[VllmServer]) -> dict[str, bytes | str]:
    """Everything at a destination: file or object -> bytes; for a fleet also what each replica has loaded."""
    if isinstance(destination, Objects):
        store, root = fsspec.core.url_to_fs(destination._url)
        return {path.removeprefix(root): store.cat_file(path) for path in store.find(root)}
    folder = destination._folder if isinstance(destination, Directory) else Path(destination._section.path)
    found: dict[str, bytes | str] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.is_symlink() for part in (path, *path.parents))
    }
    if isinstance(destination, Directory):
        link = folder / "current"
        return {**found, "current": str(link.readlink()) if link.is_symlink() else ""}
    return {**found, **{one.url: json.dumps(one.adapters) for one in servers}}
