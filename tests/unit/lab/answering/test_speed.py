"""`bench serve` on the embedded model: the served answers and those of `generate` are counted alike."""

from __future__ import annotations

import pytest

from guardedit.lab.answering.clients import client_process
from guardedit.lab.answering.speed import measure_speed
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, shipped_policy

RULES = shipped_policy("memory-only.yaml")


def measured(tmp_path, **options):
    settings = Settings(home=tmp_path, policy=RULES, metrics=None)
    told: list[str] = []
    counts = {"clients": [2], "requests": 2, "tokens": 3, "rounds": 2} | options
    found = measure_speed(settings, load_policy(RULES), tell=told.append, **counts)
    assert [one.asked for one in found] == ["no facts", "with facts", "publishing"]
    assert [one.errors for one in found] == [0, 0, 0]
    assert [one.in_scope for one in found] == [0.0, 1.0, 1.0]
    assert found[0].of_together > 0
    assert "2 clients, no facts, round 2 of 2" in told


def test_one_replica_is_measured_beside_generate(tmp_path):
    measured(tmp_path, replicas=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_two_replicas_are_measured_on_a_ledger_of_their_own(tmp_path):
    measured(tmp_path, replicas=2)
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_cannot_ask_says_why():
    with (
        client_process() as ask,
        pytest.raises(RuntimeError, match="ConnectError"),
    ):
        ask("http://127.0.0.1:9", ["x"], clients=1, tokens=1)
