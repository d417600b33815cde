from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest

from guardedit.core.probe import Measurement
from guardedit.demo.compare.second_system import RUINED_RATIO, memory_only, run_second_system
from guardedit.demo.stream.building import make_stream
from guardedit.policy.load import load_policy
from guardedit.settings import shipped_policy


class FakeSystem:
    """Each turn serves the next perplexity ratio; None leaves the weights as they are."""

    def __init__(self, ratios):
        self._ratios = iter(ratios)
        self.ratio, self.turns, self.received, self.left = 1.0, 0, 0, 0
        self.worker = self

    def receive(self, deliveries):
        self.received += len(deliveries)
        self.left += len(deliveries)
        return len(deliveries)

    def step(self):
        self.turns += 1
        idle, self.left = self.left == 0, 0
        ratio = next(self._ratios, None)
        self.ratio = self.ratio if ratio is None else ratio
        return SimpleNamespace(idle=idle and ratio is None)

    def epoch(self):
        return SimpleNamespace(weights_sha256=str(self.ratio))

    def edits(self):
        return ["edit"] if self.ratio != 1.0 else []

    def measure(self, edits, probes):
        nats = math.log(self.ratio) if edits else 0.0
        return Measurement(
            weights_sha256="", logprobs=tuple((-1.0 - nats, -2.0 - nats) for _ in probes.texts)
        )


@pytest.fixture(scope="module")
def stream(world):
    return make_stream(world, corrections=60, seed=0, disabling=(), now_s=1_700_000_000.0)


def run(stream, ratios):
    system = FakeSystem(ratios)
    seconds = itertools.count()
    found = run_second_system(
        system, system, system, stream, ["a b", "c d"], name="x", clock=lambda: float(next(seconds))
    )
    return system, found


def test_it_ends_when_the_model_is_ruined_and_submits_no_more(stream):
    system, found = run(stream, [1.2, 2 * RUINED_RATIO, 1.0])
    assert found.ruined
    assert (found.lines, system.received, system.turns) == (40, 40, 2)
    assert found.curve == ((20, pytest.approx(1.2)), (40, pytest.approx(2 * RUINED_RATIO)))


def test_a_disabled_model_that_is_not_ruined_gets_the_whole_stream(stream):
    system, found = run(stream, [1.2, RUINED_RATIO - 1])
    assert not found.ruined
    assert found.lines == system.received == len(stream.lines)
    assert found.edits == 1


def test_an_infinite_perplexity_is_ruined(stream):
    _, found = run(stream, [math.inf])
    assert found.ruined
    assert found.curve == ((20, math.inf),)


def test_a_turn_without_new_weights_is_not_measured_and_work_goes_on_until_nothing_is_left(stream):
    system, found = run(stream, [None, None, None, 1.1, 1.2])
    assert [lines for lines, _ in found.curve] == [60, 60]
    assert system.turns == 6  # three chunks, two more changes, one with nothing to do


def test_seconds_are_those_of_the_turns(stream):
    system, found = run(stream, [1.1, 1.2])
    assert found.seconds == system.turns


def test_memory_only_changes_routes_and_nothing_else():
    demo = load_policy(shipped_policy("demo.yaml"))
    kept = memory_only(demo)
    assert kept.methods == ()
    assert {rule.route for rule in kept.rules} == {"hold", "memory"}
    assert [(rule.id, rule.match, rule.when) for rule in kept.rules] == [
        (rule.id, rule.match, rule.when) for rule in demo.rules
    ]
    assert kept.model_copy(update={"rules": demo.rules}) == demo
    assert kept.sha256 != demo.sha256
