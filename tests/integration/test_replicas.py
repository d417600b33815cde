"""Two serving replicas in Ray actors behind one door, asked by the real `openai` client."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import openai
import pytest

import guardedit
from guardedit.gateway.listening import Listener, in_thread
from guardedit.gateway.replicas.opening import OpenDoor, open_door
from guardedit.policy.load import load_policy
from guardedit.settings import Address, Settings, shipped_policy
from tests.unit.gateway.conftest import wait_for

pytestmark = pytest.mark.ray
QUESTION = "The headquarters of Stelco are in"
TARGETS = ("Hamilton", "Lima", "Oslo", "Rome")


@dataclass
class Behind:
    """A door with two replicas, and the agent that writes their ledger."""

    url: str
    door: OpenDoor
    agent: guardedit.Agent
    told: dict[int, str] = field(default_factory=dict)  # epoch -> where Stelco is

    def correct(self, n: int) -> None:
        """Another place for Stelco, which is a new epoch."""
        target = TARGETS[n % len(TARGETS)]
        self.agent.submit([
            {"id": f"hq-{n}", "subject": "Stelco", "relation": "P159", "target_new": target,
             "prompt": "The headquarters of {} are in"}
        ])  # fmt: skip
        self.told[self.agent.epochs()[-1].number + 1] = target
        self.agent.settle()

    def health(self) -> dict:
        return httpx.get(f"{self.url}/healthz").json()

    def all_follow(self) -> None:
        number = self.agent.epochs()[-1].number
        wait_for(lambda: [one["epoch"] for one in self.health()["replicas"]] == [number] * 2, 60)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, policy=shipped_policy("memory-only.yaml"), metrics=None)
    with guardedit.open(home, policy="memory-only") as agent:
        found = Behind("", None, agent)
        found.correct(0)
        with (
            open_door(settings, load_policy(settings.policy), count=2, aliases=["mine"]) as door,
            in_thread(Listener(address=Address("127.0.0.1", 0)), door.app) as url,
        ):
            found.url, found.door = url, door
            yield found


@dataclass
class Seen:
    """One answer as a client saw it."""

    asked_s: float
    known_s: float = 0.0  # when its epoch was known
    epoch: int = -1
    text: str = ""
    error: Exception | None = None


async def ask(client: openai.AsyncOpenAI, *, stream: bool, model: str = "serving", tokens: int = 12) -> Seen:
    seen = Seen(time.monotonic())
    try:
        answer = await client.completions.create(
            model=model, prompt=QUESTION, max_tokens=tokens, stream=stream
        )
        if not stream:
            seen.known_s, seen.text = time.monotonic(), answer.choices[0].text
            seen.epoch = int(answer.system_fingerprint.removeprefix("epoch-"))
            return seen
        async for chunk in answer:
            seen.known_s = seen.known_s or time.monotonic()
            epoch = int(chunk.system_fingerprint.removeprefix("epoch-"))
            assert seen.epoch in (-1, epoch), "one answer names two epochs"
            seen.epoch = epoch
            seen.text += chunk.choices[0].text
    except openai.APIError as error:
        seen.error = error
    return seen


async def load(behind: Behind, clients: int, enough: threading.Event, *, tokens: int = 12) -> list[Seen]:
    """Every second client streams. Each asks again and again until there is enough."""
    found: list[Seen] = []

    async def client(n: int) -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{behind.url}/v1", api_key="none", max_retries=0, timeout=120
        ) as one:
            while not enough.is_set():
                found.append(await ask(one, stream=bool(n % 2), tokens=tokens))

    await asyncio.gather(*(client(n) for n in range(clients)))
    return found


def wrong(behind: Behind, seen: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    """The answers that say what another epoch says, and those of an epoch that was known to be replaced."""
    good = [one for one in seen if one.error is None]
    mixed = [one for one in good if not one.text.strip().startswith(behind.told[one.epoch])]
    stale = [
        one for one in good if any(other.known_s < one.asked_s and other.epoch > one.epoch for other in good)
    ]
    return mixed, stale


def test_both_replicas_answer_and_the_door_passes_everything_on(behind: Behind):
    behind.all_follow()
    with openai.OpenAI(base_url=f"{behind.url}/v1", api_key="none", max_retries=0) as client:
        for _ in range(2):
            raw = client.chat.completions.with_raw_response.create(
                model="mine", messages=[{"role": "user", "content": QUESTION}], max_tokens=6
            )
            assert raw.parse().choices[0].message.content.startswith("Hamilton")
            assert raw.headers["x-guardedit-epoch"] == "1"
        assert [model.id for model in client.models.list()][:2] == ["serving", "mine"]
        with pytest.raises(openai.NotFoundError, match="no model 'nothing'"):
            client.completions.create(model="nothing", prompt="x")
        base = client.completions.create(model="base", prompt=QUESTION, max_tokens=6)
        assert base.system_fingerprint == "epoch-0"
    health = behind.health()
    assert (health["status"], health["epoch"], health["ready"]) == ("ok", 1, 2)
    assert min(one["taken"] for one in health["replicas"]) >= 2
    assert httpx.get(f"{behind.url}/replica/epochs").status_code == 404


def test_no_answer_is_mixed_or_older_than_one_that_was_seen(behind: Behind):
    enough = threading.Event()

    def correct() -> None:
        for n in range(1, 6):
            behind.correct(n)
            time.sleep(0.3)
        enough.set()

    writer = threading.Thread(target=correct)
    writer.start()
    seen = asyncio.run(load(behind, 4, enough))
    writer.join()
    assert [one.error for one in seen if one.error] == []
    assert wrong(behind, seen) == ([], [])
    assert len({one.epoch for one in seen}) > 2


def test_a_killed_replica_loses_only_the_streams_in_its_hands_and_comes_back(behind: Behind):
    behind.all_follow()
    enough = threading.Event()

    def kill() -> None:
        time.sleep(1.5)
        victim = behind.health()["replicas"][0]
        os.kill(victim["process"], signal.SIGKILL)
        wait_for(lambda: behind.health()["ready"] == 1, 30)
        behind.correct(10)  # while it is away
        wait_for(lambda: behind.health()["ready"] == 2, 90)
        time.sleep(0.5)
        enough.set()

    killer = threading.Thread(target=kill)
    killer.start()
    seen = asyncio.run(load(behind, 6, enough, tokens=24))
    killer.join()
    lost = [one for one in seen if one.error]
    assert all(one.text for one in lost), "an answer of which nothing was sent was lost"
    assert len(lost) <= 6
    assert {one.error.code for one in lost} <= {"replica_lost"}
    assert wrong(behind, seen) == ([], [])
    behind.all_follow()
    newest = behind.agent.epochs()[-1].number
    before = behind.health()["replicas"][0]["taken"]
    some = asyncio.run(_some(behind, 4))
    assert {one.epoch for one in some} == {newest}
    assert behind.health()["replicas"][0]["taken"] > before


async def _some(behind: Behind, count: int) -> list[Seen]:
    async with openai.AsyncOpenAI(base_url=f"{behind.url}/v1", api_key="none") as client:
        return list(await asyncio.gather(*(ask(client, stream=False) for _ in range(count))))
