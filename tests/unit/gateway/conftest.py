"""A served embedded model behind a real HTTP server, and an agent that writes the same ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

import guardedit
from guardedit.gateway.checking import App
from guardedit.gateway.listening import Listener, in_thread
from guardedit.gateway.serving import Served, open_served
from guardedit.policy.load import load_policy
from guardedit.settings import Address, Settings, shipped_policy

LOCAL = Address("127.0.0.1", 0)
CORRECTIONS = [
    {"id": "hq", "subject": "Stelco", "relation": "P159", "prompt": "The headquarters of {} are in",
     "target_new": "Hamilton"},
    {"id": "twin", "subject": "Oslo", "relation": "P190", "prompt": "The twin city of {} is",
     "target_new": "Lima"},
]  # fmt: skip


def listening(app: App, *, dated: bool = True, **options: Any) -> AbstractContextManager[str]:
    """A real server for an application; gives its address."""
    return in_thread(Listener(address=LOCAL, **options), app, dated=dated)


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"it did not happen within {seconds} s")
        time.sleep(0.01)


@dataclass
class Running:
    """A served model."""

    url: str
    served: Served
    agent: guardedit.Agent
    settings: Settings
    clients: list[openai.OpenAI] = field(default_factory=list)

    def client(self, **options: Any) -> openai.OpenAI:
        made = openai.OpenAI(
            base_url=f"{self.url}/v1", **{"api_key": "none", "max_retries": 0, "timeout": 60, **options}
        )
        self.clients.append(made)
        return made

    def correct(self, *corrections: dict[str, Any]) -> None:
        """Make corrections live, and wait until they are served."""
        self.agent.submit(list(corrections))
        self.agent.settle()
        self.follow()

    def follow(self) -> None:
        number = self.agent.epochs()[-1].number
        wait_for(lambda: self.served.models.find("serving").replica.epoch() == number)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The embedded model with two facts in memory, at epoch 1."""
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, policy=shipped_policy("memory-only.yaml"), metrics=None)
    policy = load_policy(settings.policy)
    with (
        guardedit.open(home, policy="memory-only") as agent,
        open_served(settings, policy, aliases=["gpt-4o-mini"]) as served,
        listening(served.app) as url,
    ):
        found = Running(url, served, agent, settings)
        found.correct(*CORRECTIONS)
        yield found
        for client in found.clients:
            client.close()
