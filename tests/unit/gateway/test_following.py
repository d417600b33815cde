"""The follower outlives every error, says what is wrong meanwhile, and catches up."""

from __future__ import annotations

from pathlib import Path

import guardedit
from guardedit.gateway.following import LedgerFollower
from guardedit.policy.load import load_policy
from guardedit.runtime.operator.answers import base_snapshot
from guardedit.settings import Settings, shipped_policy
from tests.unit.gateway.conftest import CORRECTIONS, wait_for


class Failing:
    """A replica that runs out of memory once, with an error that is not ours."""

    def __init__(self) -> None:
        self.number, self.failures = 0, 1

    def publish(self, snapshot) -> int:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("out of memory")
        self.number = snapshot.epoch.number
        return self.number

    def follow(self, update) -> int:
        return self.publish(update)

    def epoch(self) -> int:
        return self.number


def test_an_error_of_any_kind_is_said_and_tried_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("guardedit.gateway.following.RETRY_S", 0.3)
    settings = Settings(home=tmp_path, policy=shipped_policy("memory-only.yaml"), metrics=None)
    policy, replica = load_policy(settings.policy), Failing()
    assert base_snapshot("", policy).epoch.number == 0
    with guardedit.open(tmp_path, policy="memory-only") as agent:
        agent.submit(CORRECTIONS)
        agent.settle()
        with LedgerFollower(settings, policy, replica) as follower:
            wait_for(lambda: follower.problem == "out of memory")
            wait_for(lambda: replica.number == agent.epochs()[-1].number)
            wait_for(lambda: not follower.problem)


def test_in_shadow_mode_nothing_is_followed(tmp_path: Path):
    text = shipped_policy("memory-only.yaml").read_text("utf-8")
    (tmp_path / "policy.yaml").write_text(text.replace("mode: enforce", "mode: shadow"), "utf-8")
    settings = Settings(home=tmp_path, policy=tmp_path / "policy.yaml", metrics=None)
    policy, replica = load_policy(settings.policy), Failing()
    assert policy.mode == "shadow"
    with guardedit.open(tmp_path, policy="memory-only") as agent:
        agent.submit(CORRECTIONS)
        agent.settle()
        with LedgerFollower(settings, policy, replica):
            agent.submit({**CORRECTIONS[0], "id": "later", "target_new": "Oslo"})
            agent.settle()
        assert agent.epochs()[-1].number > 0
    assert replica.failures == 1
