"""Two facts asked for in one question are both given, by every way to an answer."""

from __future__ import annotations

import json

import httpx
import pytest

import guardedit
from guardedit.gateway.asking import _Obeying
from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.gateway.proxying import open_proxy
from guardedit.models.streaming.request import Piece
from guardedit.policy.load import load_policy
from guardedit.policy.sections import ProxySection
from tests.unit.gateway.conftest import Running, listening

BOTH = "The headquarters of Stelco are in\nThe twin city of Oslo is"
ONE = "The headquarters of Stelco are in"


@pytest.fixture(scope="module")
def ids(running: Running) -> list[str]:
    by_subject = {fact.key.subject: fact.id for fact in running.agent.facts()}
    return [by_subject["Stelco"], by_subject["Oslo"]]


def ask(running: Running, question: str, **more: object) -> httpx.Response:
    body = {
        "model": "serving",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 12,
        "guardedit": {"explain": True},
        **more,
    }
    return httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=60)


def test_a_served_model_gives_both(running: Running, ids):
    answer = ask(running, BOTH)
    assert answer.headers["x-guardedit-facts"] == ", ".join(ids)
    text = answer.json()["choices"][0]["message"]["content"]
    assert "Hamilton" in text
    assert "Lima" in text
    found = answer.json()["guardedit"]
    assert [fact["id"] for fact in found["facts"]] == ids
    assert [fact["asked"] for fact in found["facts"]] == [
        "The headquarters of Stelco are in", "The twin city of Oslo is",
    ]  # fmt: skip
    assert all(0 < fact["score"] <= 1 and "score" in fact["reason"] for fact in found["facts"])
    assert found["placement"] == "memory"


def test_a_stream_ends_with_what_the_model_left_out(running: Running):
    whole = ask(running, BOTH).json()["choices"][0]["message"]["content"]
    events = ask(running, BOTH, stream=True).text.split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] is not None


def test_a_question_for_one_of_them_gets_one(running: Running, ids):
    answer = ask(running, ONE)
    assert answer.headers["x-guardedit-facts"] == ids[0]
    assert "Lima" not in answer.json()["choices"][0]["message"]["content"]


def test_the_proxy_states_both_in_one_note(running: Running, ids):
    seen: list[dict] = []

    async def upstream(scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        seen.append(json.loads(body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    policy = load_policy(running.settings.policy)
    with (
        open_proxy(running.settings, policy, "http://127.0.0.1:9") as proxied,
        listening(upstream) as direct,
        listening(proxy_app(proxied.replica, Forwarder(direct, timeout_s=5), ProxySection())) as url,
    ):
        body = {"model": "m", "messages": [{"role": "user", "content": BOTH}]}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    (message,) = seen[0]["messages"]
    assert message["content"] == (
        f"Note: The headquarters of Stelco are in Hamilton. The twin city of Oslo is Lima.\n\n{BOTH}"
    )
    assert answer.headers["x-guardedit-facts"] == ", ".join(ids)


def test_live_facts_and_the_agent_name_both(running: Running, ids):
    with guardedit.LiveFacts(running.settings.home, policy="memory-only") as live:
        found = live.find(BOTH)
    assert [fact.id for fact in found.facts] == ids
    assert found.fact == found.facts[0]
    assert found.headers["X-Guardedit-Facts"] == ", ".join(ids)
    answer = running.agent.ask(BOTH)
    assert list(answer.facts) == ids
    assert "Hamilton" in answer.text
    assert "Lima" in answer.text


class _Constraint:
    """Two facts, named by the letters a and b."""

    def missing(self, used, text):
        return [letter for letter in used if letter not in text.split()]

    def obeyed(self, used, question, text):
        missing = self.missing(used, text)
        said = [] if len(missing) == len(used) else [text.rstrip().rstrip(".")]
        return ". ".join([*said, *missing]) if missing else text


class _Prepared:
    used, question = ("a", "b"), "?"


@pytest.mark.parametrize(
    ("pieces", "delivered"),
    [
        (["x", " a", " y", " b", " z"], ["x", " a", " y", " b", " z"]),
        (["x", " a", " y."], ["x", " a", " y. b"]),
        (["x", " a", " y"], ["x", " a", " y. b"]),
        (["x", " y", " z"], ["a. b"]),
        (["a"], ["a. b"]),
    ],
)
def test_pieces_come_as_soon_as_a_fact_is_named(pieces, delivered):
    told: list[Piece] = []
    obeying = _Obeying(_Constraint(), _Prepared(), told.append)
    for n, text in enumerate(pieces):
        obeying(Piece(token=n, text=text, finish="stop" if n == len(pieces) - 1 else None))
    assert [piece.text for piece in told] == delivered
    assert [piece.finish for piece in told] == [None] * (len(told) - 1) + ["stop"]
