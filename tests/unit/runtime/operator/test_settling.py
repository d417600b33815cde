from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from guardedit.core.errors import UsageError
from guardedit.core.protocols import Event
from guardedit.ledger.storage.lock import DriverLock, driver_of
from guardedit.policy.load import load_policy
from guardedit.runtime.operator.settling import wait_until_settled
from guardedit.runtime.operator.stages import StageRecord
from guardedit.settings import Settings, policy_file
from tests.fakes import raw
from tests.town import Town


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path / "home").start()
    with DriverLock(town.home):
        yield town
    town.stop()


@pytest.fixture
def settings(town):
    return Settings(home=town.home, policy=policy_file("default"))


def settle(settings, *, steps=(), timeout_s=100.0):
    """Wait on a clock of its own; each look is followed by the next of `steps`."""
    now, work = [1_000.0], list(steps)

    def sleep(seconds):
        now[0] += seconds
        if work:
            work.pop(0)()

    policy = load_policy(settings.policy)
    return wait_until_settled(settings, policy, timeout_s=timeout_s, clock=lambda: now[0], sleep=sleep)


def test_it_waits_until_another_has_decided_and_tried_everything(town, settings):
    town.submit(raw("Ada", "Rome"))
    left = settle(settings, steps=[town.live.step, town.consolidate.step, town.live.step])
    assert left.nothing
    assert town.placed() == {"Ada": "weights"}


def test_after_the_timeout_it_says_what_is_left(town, settings):
    town.submit(raw("Ada", "Rome"), raw("Bob", "Oslo"))
    left = settle(settings, timeout_s=3.0)
    assert (left.nothing, left.inbox) == (False, 2)
    town.live.step()
    left = settle(settings, timeout_s=3.0)
    assert (left.inbox, left.weights) == (0, 2)
    assert "waiting for the weights: 2 facts" in str(left)


def test_a_fact_that_never_leaves_memory_is_not_waited_for(town, settings):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    assert settle(replace(settings, policy=policy_file("memory-only"))).nothing
    assert not settle(settings, timeout_s=1.0).nothing


def test_a_running_stage_is_waited_for(town, settings):
    town.live.step()
    record = StageRecord(town.home, clock=lambda: 1_000.0)
    record(Event(kind="stage", fields={"name": "trying", "subjects": 2}))
    left = settle(settings, timeout_s=1.0)
    assert "now trying 2 subjects" in str(left)
    record.close()
    assert settle(settings).nothing


def test_without_a_loop_it_says_so_unless_nothing_is_left(tmp_path):
    town = Town(tmp_path / "home").start()
    town.send(raw("Ada", "Rome"))
    settings = Settings(home=town.home, policy=policy_file("default"))
    with DriverLock(town.home):
        assert driver_of(town.home) == str(os.getpid())
    town.stop()
    assert driver_of(town.home) is None
    assert settle(settings).nothing
    town.start()
    town.submit(raw("Bob", "Oslo"))
    town.stop()
    with pytest.raises(
        UsageError, match=r"to be decided: 1 message, .* no process runs the loop .*guardedit run --once"
    ):
        settle(settings)


def test_an_edit_whose_fact_was_retracted_is_waited_for(town, settings):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    town.consolidate.step()
    town.live.step()
    assert settle(settings).nothing
    town.submit(raw("Ada", None, op="retract"))
    town.live.step()
    left = settle(settings, timeout_s=1.0)
    assert (left.stale, left.nothing) == (1, False)
    assert settle(settings, steps=[town.consolidate.step, town.live.step]).nothing
    assert not town.ledger.snapshot().edits


def test_looking_who_runs_the_loop_never_keeps_a_loop_from_starting(tmp_path):
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            driver_of(tmp_path)

    with DriverLock(tmp_path):
        pass
    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with DriverLock(tmp_path):
                pass
    finally:
        ended.set()
        for looker in lookers:
            looker.join()
