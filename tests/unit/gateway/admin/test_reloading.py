"""A changed policy file while the coordinator runs: in force at once, or refused without any change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway.admin.tokens import Role
from guardedit.policy.load import parse_policy
from guardedit.runtime.coordinator_access import reload_running
from guardedit.runtime.operator.reloading import needs_restart
from guardedit.settings import Settings
from tests.unit.gateway.admin.conftest import POLICY, Desk, hq, opened_desk

STRICT = """
apiVersion: guardedit/v1
rules:
  - {id: nothing, route: reject, why: nothing is accepted now}
guard: {perplexity_ratio_to_base: 1.015}
memory: {unsure: use_fact}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with opened_desk(tmp_path, POLICY, second=(Role.ADMIN, "")) as opened:
        yield opened


def write(desk: Desk, text: str) -> None:
    (desk.home / "policy.yaml").write_text(text)


def fate(desk: Desk, correction: str) -> str:
    story = desk.get(f"/v1/explain/{correction}")["story"]
    return next(one["text"] for one in story if one["step"] == "decided")


def test_a_changed_policy_decides_the_next_correction(desk: Desk):
    before = desk.get("/v1/status")
    desk.submit(hq("Ara", "Oslo", id="r-1"))
    write(desk, STRICT)
    desk.submit(hq("Aries", "Oslo", id="r-2"))
    assert fate(desk, "r-2").startswith("accepted")  # a changed file alone changes nothing

    said = desk.post("/v1/policy/reload", "admin").json()
    assert (said["changed"], said["before_sha256"]) == (True, before["policy_sha256"])
    desk.submit(hq("Antlia", "Oslo", id="r-3"))
    assert fate(desk, "r-3").startswith("rejected: route reject, rule nothing")
    after = desk.get("/v1/status")
    assert (after["policy_sha256"], after["limit"]) == (said["policy_sha256"], 1.015)
    assert f'policy_sha="{said["policy_sha256"][:12]}"' in desk.call("GET", "/metrics").text
    audit = desk.get("/v1/audit")["audit"]
    change = f"{before['policy_sha256'][:12]} to {said['policy_sha256'][:12]}"
    assert {"who": "admin", "action": "reload policy", "target": change}.items() <= audit[-2].items()

    again = desk.post("/v1/policy/reload", "admin").json()
    assert (again["changed"], len(desk.get("/v1/audit")["audit"])) == (False, len(audit))
    # The other cycle works by it too, and records it with the epochs that it makes.
    fact = desk.get("/v1/facts/Ara")["facts"][0]["id"]
    made = desk.system.roll_back(0, facts_too=True)
    assert made.policy_sha256 == said["policy_sha256"]
    assert desk.system.redo(fact).policy_sha256 == said["policy_sha256"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules: [", "policy.yaml:"),
        (POLICY.replace("route: hold", "route: holds", 1), "rules[0].route"),
        (f"mode: shadow\n{POLICY}", "these changes need a restart of `guardedit run`: mode;"),
        (POLICY.replace("use_fact", "answer_from_base"), "need a restart of `guardedit run`: memory;"),
        (f"{POLICY}editing: {{batch: 3}}", "need a restart of `guardedit run`: editing;"),
        (
            POLICY.replace("rest, route: memory", "rest, route: weights"),
            "whether a rule routes to the weights",
        ),
        (None, "cannot be read"),
    ],
)
def test_a_policy_that_cannot_be_taken_over_changes_nothing_and_says_why(
    desk: Desk, text: str | None, why: str
):
    before = desk.get("/v1/status")["policy_sha256"]
    if text is None:
        (desk.home / "policy.yaml").unlink()
    else:
        write(desk, text)
    answer = desk.post("/v1/policy/reload", "admin")
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]
    assert desk.get("/v1/status")["policy_sha256"] == before
    desk.submit(hq("Ara", "Oslo", id="r-1"))
    assert fate(desk, "r-1").startswith("accepted")
    assert "reload policy" not in {one["action"] for one in desk.get("/v1/audit")["audit"]}


def test_a_running_trial_does_not_delay_it(desk: Desk):
    write(desk, STRICT)
    with desk.system._consolidating():  # as a trial has it
        done = threading.Event()
        thread = threading.Thread(target=lambda: (desk.post("/v1/policy/reload", "admin"), done.set()))
        thread.start()
        assert done.wait(30)
        thread.join()
        assert desk.system.consolidator.consolidate.parts.limits is not None
    desk.submit(hq("Ara", "Oslo", id="r-1"))
    assert fate(desk, "r-1").startswith("rejected")


def test_the_command_line_asks_the_running_coordinator(desk: Desk, tmp_path: Path):
    settings = Settings(home=desk.home, policy=desk.home / "policy.yaml")
    assert reload_running(settings)["changed"] is False
    write(desk, "rules: [")
    with pytest.raises(UsageError, match=r"policy\.yaml:1"):
        reload_running(settings)
    with pytest.raises(UsageError, match="no coordinator with an HTTP interface runs on"):
        reload_running(Settings(home=tmp_path / "other"))


def test_what_needs_a_restart_is_named():
    before = parse_policy(POLICY, name="before")
    assert needs_restart(before, parse_policy(STRICT, name="after")) == []
    other = parse_policy(f"mode: shadow\nediting: {{batch: 3}}\n{POLICY}", name="after")
    assert needs_restart(before, other) == ["mode", "editing"]
