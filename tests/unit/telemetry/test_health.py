"""Stalled cycles, failed cycles and an unreadable ledger, over HTTP with a clock that the tests move."""

from __future__ import annotations

import json
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from guardedit.core.errors import LedgerCorrupt
from guardedit.telemetry.health import CONSOLIDATE, LIVE, MAX_TURN_S, Health
from guardedit.telemetry.server import MetricsServer


class MovedClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Ledger:
    error: Exception | None = None

    def refs(self) -> dict[str, int]:
        if self.error is not None:
            raise self.error
        return {"serving": 3}


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def health(clock: MovedClock, ledger: Ledger) -> Health:
    return Health(check_ledger=ledger.refs, clock=clock)


@pytest.fixture
def healthz(health: Health):
    """Status and JSON body of `/healthz`."""
    with MetricsServer(CollectorRegistry(), health=health.report, port=0) as server:

        def get() -> tuple[int, dict]:
            try:
                with urlopen(f"{server.url}/healthz") as answer:
                    return answer.status, json.loads(answer.read())
            except HTTPError as error:
                return error.code, json.loads(error.read())

        yield get


def test_a_new_agent_and_one_whose_cycles_turn_are_healthy(health, healthz, clock):
    assert healthz()[0] == 200
    clock.now_s += 50
    health.turned(LIVE)
    clock.now_s += 50
    assert healthz() == (
        200,
        {"status": "ok", "problems": [], "seconds_since_turn": {"live": 50.0, "consolidate": 100.0}},
    )


@pytest.mark.parametrize("cycle", [LIVE, CONSOLIDATE])
def test_a_cycle_that_does_not_turn_for_too_long_is_a_problem_until_it_turns(cycle, health, healthz, clock):
    other = CONSOLIDATE if cycle == LIVE else LIVE
    clock.now_s += MAX_TURN_S[cycle]
    health.turned(other)
    assert healthz()[0] == 200
    clock.now_s += 1
    status, body = healthz()
    assert (status, body["status"]) == (503, "failing")
    assert body["problems"] == [
        f"the {cycle} cycle has not turned for {MAX_TURN_S[cycle] + 1:.0f} s (limit {MAX_TURN_S[cycle]:g} s)"
    ]
    health.turned(cycle)
    assert healthz()[0] == 200


def test_a_cycle_that_ended_with_an_error_is_a_problem_until_it_turns_again(health, healthz):
    health.failed(CONSOLIDATE, "StorageFull: no space left")
    assert health.failing()
    status, body = healthz()
    assert status == 503
    assert body["problems"] == ["the consolidate cycle ended with an error: StorageFull: no space left"]
    health.turned(LIVE)
    assert healthz()[0] == 503
    health.turned(CONSOLIDATE)
    assert not health.failing()
    assert healthz()[0] == 200


def test_a_ledger_that_cannot_be_read_is_a_problem(healthz, ledger):
    ledger.error = LedgerCorrupt("row 7 does not match its hash")
    assert healthz()[1]["problems"] == ["the ledger cannot be read: row 7 does not match its hash"]
    ledger.error = None
    assert healthz()[0] == 200
