"""A running coordinator with its HTTP interface, and a token for each role."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from guardedit.core.verdict import Gate, LostAnswer, Outcome, combine
from guardedit.gateway.admin.serving import admin_server
from guardedit.gateway.admin.tokens import Role, Tokens
from guardedit.ledger.storage.lock import DriverLock
from guardedit.policy.load import load_policy
from guardedit.runtime.local import LocalSystem
from guardedit.settings import Address, Settings

POLICY = """
apiVersion: guardedit/v1
rules:
  - {id: doubtful, when: confidence < 0.5, route: hold, why: the source itself doubts it}
  - {id: people, match: {tag: person}, route: hold, approvals: 2, approval_ttl_s: 3600, why: two people agree}
  - {id: rest, route: memory, why: everything else is remembered}
memory: {unsure: use_fact}
"""


@dataclass
class Desk:
    """The interface as its users see it."""

    url: str
    home: Path
    system: LocalSystem
    secrets: dict[str, str]

    def call(self, method: str, path: str, role: str | None = None, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secrets[role]}"} if role else {}
        headers |= options.pop("headers", {})
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)

    def get(self, path: str, role: str | None = None) -> Any:
        answer = self.call("GET", path, role)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, role: str, body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        return self.call("POST", path, role, content=content, headers={"content-type": "application/json"})

    def submit(self, *corrections: dict[str, Any], role: str = "submitter") -> list[str]:
        answer = self.post("/v1/corrections", role, list(corrections))
        assert answer.status_code == 202, answer.text
        self.settle()
        return answer.json()["corrections"]

    def reject_trial(self, *lost: LostAnswer, facts: Sequence[str] = ()) -> int:
        """Record a rejected trial as the consolidating cycle does; returns its number."""
        gate = Gate(
            name="same_subject", value=0.5, limit=0.95, at_most=False, outcome=Outcome.REJECT,
            detail="1 of 2 answers are kept", lost=lost,
        )  # fmt: skip
        ledger = self.system.consolidator.consolidate.parts.ledger
        verdict = combine((gate,)).to_json()
        ledger.note("trial", {"edits": ["e" * 64], "facts": list(facts), "seconds": 1.5, "verdict": verdict})
        return int(self.get("/v1/epochs")["rejected"][-1]["trial"])

    def settle(self) -> None:
        while not self.system.step().idle:
            pass


@contextmanager
def opened_desk(home: Path, policy_text: str, **more: tuple[Role, str]) -> Iterator[Desk]:
    """A coordinator with its interface and a token of each role; `more`: further tokens, role and source."""
    (home / "policy.yaml").write_text(policy_text)
    settings = Settings(home=home, policy=home / "policy.yaml", metrics=None)
    tokens = Tokens(home)
    secrets = {role.value: tokens.add(role.value, role, at_s=1.0) for role in Role}
    for name, (role, source) in more.items():
        secrets[name] = tokens.add(f"{name}-feed" if source else name, role, source=source, at_s=1.0)
    policy = load_policy(settings.policy)
    with (
        DriverLock(home),
        LocalSystem(settings, policy) as system,
        admin_server(settings, policy, system, Address("127.0.0.1", 0)) as url,
    ):
        yield Desk(url, home, system, secrets)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("home")
    with opened_desk(home, POLICY, registry=(Role.SUBMITTER, "registry")) as opened:
        yield opened


def hq(subject: str, target: str, **more: Any) -> dict[str, Any]:
    """A correction of a headquarters."""
    return {"subject": subject, "relation": "P159", "prompt": "The headquarters of {} are in",
            "target_new": target, **more}  # fmt: skip
