"""The coordinator opens completely or not at all; `/healthz` over HTTP with a clock that the tests move."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from guardedit import assembly
from guardedit.core.errors import LedgerCorrupt, SourceError
from guardedit.core.protocols import Event
from guardedit.policy.schema import Policy
from guardedit.runtime.coordinator import Coordinator
from guardedit.settings import Address, Settings
from guardedit.sources.list import ListSource
from guardedit.telemetry.health import CONSOLIDATE, LIVE, MAX_TURN_S
from tests.fakes import FakeReplica, FakeWorker

#: The coordinator reads the folder of the embedded demo model, without loading the model.
CARD = assembly.model_folder(Settings(home=Path())) / "edit_card.json"
BASE = json.loads(CARD.read_text())["base_sha256"]


class MovedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class ClosedSource(ListSource):
    closed = 0

    def close(self) -> None:
        self.closed += 1
        super().close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", metrics=Address("127.0.0.1", free_port()))


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def start(settings: Settings, policy: Policy, clock: MovedClock) -> Callable[..., Coordinator]:
    def started(chosen: Settings = settings) -> Coordinator:
        return Coordinator(chosen, policy, FakeWorker(base_sha256=BASE), [FakeReplica()], monotonic=clock)

    return started


@pytest.fixture
def coordinator(start: Callable[..., Coordinator]) -> Iterator[Coordinator]:
    running = start()
    yield running
    running.close()


@pytest.fixture
def healthz(coordinator: Coordinator) -> Callable[[], tuple[int, list[str]]]:
    """Status and problems."""
    address = coordinator.settings.metrics
    assert address is not None

    def get() -> tuple[int, list[str]]:
        try:
            with urlopen(f"http://{address.host}:{address.port}/healthz") as answer:
                return answer.status, json.loads(answer.read())["problems"]
        except HTTPError as error:
            return error.code, json.loads(error.read())["problems"]

    return get


def test_a_source_that_cannot_be_opened_leaves_the_ledger_free(settings, start):
    failing = replace(settings, redis_url="redis://127.0.0.1/0?no_such_option=1")
    for _ in range(2):
        with pytest.raises(SourceError, match="no_such_option"):
            start(failing)
    start().close()


def test_a_failure_after_the_sources_were_opened_closes_them_and_the_metrics_server(start, monkeypatch):
    source = ClosedSource()
    monkeypatch.setattr(assembly, "open_sources", lambda _: [source])

    def fail(**_: object) -> None:
        raise RuntimeError("no parts")

    with monkeypatch.context() as patched:
        patched.setattr(assembly, "build_parts", fail)
        for tries in (1, 2):
            with pytest.raises(RuntimeError, match="no parts"):
                start()
            assert source.closed == tries
    start().close()
    assert source.closed == 3


def test_healthz_follows_the_turns_of_both_cycles(coordinator, clock, healthz):
    assert healthz() == (200, [])
    clock.now_s += MAX_TURN_S[LIVE] + 1
    status, problems = healthz()
    assert (status, len(problems)) == (503, 1)
    assert problems[0].startswith("the live cycle has not turned for 61 s")
    coordinator.step()
    assert healthz() == (200, [])
    clock.now_s += MAX_TURN_S[CONSOLIDATE]
    coordinator.step()
    assert healthz()[1] == ["the consolidate cycle has not turned for 1861 s (limit 1800 s)"]
    coordinator.consolidated([Event(kind="capacity", fields={"layer": 3, "ratio": 0.25})])
    assert healthz() == (200, [])
    assert coordinator.status().capacity_ratio == 0.25


def test_healthz_reports_a_cycle_that_ended_with_an_error(coordinator, healthz, monkeypatch):
    states = []
    observe = coordinator.observe
    coordinator.observe = lambda event: (states.append(event.fields.get("state")), observe(event))

    def fail() -> None:
        raise LedgerCorrupt("row 7 does not match its hash")

    with monkeypatch.context() as patched:
        patched.setattr(coordinator.live, "step", fail)
        with pytest.raises(LedgerCorrupt):
            coordinator.step()
    assert healthz() == (
        503,
        ["the live cycle ended with an error: LedgerCorrupt: row 7 does not match its hash"],
    )
    coordinator.step()
    assert healthz() == (200, [])
    with pytest.raises(ZeroDivisionError), coordinator.turn(CONSOLIDATE):
        raise ZeroDivisionError
    assert healthz()[0] == 503
    assert [state for state in states if state] == ["failed", "running", "failed"]
