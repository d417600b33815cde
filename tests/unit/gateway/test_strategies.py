"""Each strategy behind `serve` and `proxy`: its answers in scope, and nothing changed out of scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import guardedit
from guardedit.core.errors import UsageError
from guardedit.gateway.proxying import open_proxy
from guardedit.gateway.serving import open_served
from guardedit.policy.load import load_policy
from guardedit.policy.schema import Policy
from guardedit.settings import Settings, shipped_policy
from tests.unit.gateway.conftest import CORRECTIONS, listening

HQ = "The headquarters of Stelco are in"
OUT = ["Oslo is the capital of", "Who wrote Hamlet?", "The headquarters of Norsk Hydro are in"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with guardedit.open(folder, policy="memory-only") as agent:
        agent.submit(CORRECTIONS)
        agent.settle()
    return folder


@dataclass
class Asked:
    """A server, its strategy and the policy."""

    strategy: str
    url: str

    def chat(self, question: str, model: str = "serving", **more: object) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 12, **more}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60)


def policy_of(settings: Settings, strategy: str) -> Policy:
    policy = load_policy(settings.policy)
    return policy.model_copy(update={"memory": policy.memory.model_copy(update={"strategy": strategy})})


def settings_of(home: Path) -> Settings:
    return Settings(home=home, policy=shipped_policy("memory-only.yaml"), metrics=None)


@pytest.fixture(scope="module", params=["context", "demonstrations", "constrained"])
def asked(home: Path, request: pytest.FixtureRequest) -> Iterator[Asked]:
    settings = settings_of(home)
    with open_served(settings, policy_of(settings, request.param)) as served, listening(served.app) as url:
        yield Asked(request.param, url)


def test_the_fact_answers(asked: Asked):
    answer = asked.chat(HQ)
    assert answer.headers["x-guardedit-facts"]
    if asked.strategy == "demonstrations":  # the embedded model was not trained to read them
        assert answer.json()["usage"]["prompt_tokens"] > 40
    else:
        assert answer.json()["choices"][0]["message"]["content"].startswith("Hamilton")


def test_a_stream_says_the_same(asked: Asked):
    events = asked.chat(HQ, stream=True).text.split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == asked.chat(HQ).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("question", OUT)
def test_out_of_scope_the_answer_is_that_of_the_model_without_memory(asked: Asked, question):
    found, base = (asked.chat(question, model).json() for model in ("serving", "base"))
    assert (found["choices"], found["usage"]) == (base["choices"], base["usage"])


def test_a_constrained_answer_has_the_target_whatever_the_model_thinks(home):
    told = {"subject": "Stelco", "relation": "P17", "prompt": "{} stands in", "target_new": "Qzxw Vbnm"}
    with guardedit.open(home, policy="memory-only") as agent:
        agent.submit({**told, "id": "odd"})
        agent.settle()
    settings = settings_of(home)
    with (
        open_served(settings, policy_of(settings, "constrained")) as served,
        listening(served.app) as url,
    ):
        answer = Asked("constrained", url).chat("Stelco stands in", max_tokens=20, logprobs=True).json()
        assert answer["choices"][0]["message"]["content"].startswith("Qzxw Vbnm")
        told = answer["choices"][0]["logprobs"]["content"]
        assert min(token["logprob"] for token in told) < -2  # what is forced is reported as the model sees it
        replica = served.models.find("serving").replica
        text = replica.ask(["Stelco stands in"])[0].text
        assert text.startswith("Qzxw Vbnm")
        assert replica.says([("Stelco stands in", text), ("Stelco stands in", "Oslo")]) == [True, False]


@pytest.mark.parametrize("strategy", ["context", "demonstrations"])
def test_the_proxy_passes_questions_out_of_scope_byte_for_byte(home, strategy):
    seen: list[bytes] = []

    async def upstream(scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        seen.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    settings = settings_of(home)
    with (
        listening(upstream) as direct,
        open_proxy(settings, policy_of(settings, strategy), direct) as proxied,
        listening(proxied.app) as url,
    ):
        raws = [json.dumps({"messages": [{"role": "user", "content": text}]}).encode() for text in OUT]
        for raw in raws:
            answer = httpx.post(f"{url}/v1/chat/completions", content=raw)
            assert "x-guardedit-facts" not in answer.headers
        assert seen == raws
        body = {"messages": [{"role": "user", "content": HQ}]}
        httpx.post(f"{url}/v1/chat/completions", json=body)
    stated = json.loads(seen[-1])["messages"][0]["content"]
    assert stated.endswith(f"Note: {HQ} Hamilton.\n\n{HQ}")
    assert stated.startswith("Note: The capital of Norway is Rome.") is (strategy == "demonstrations")


def test_a_program_that_runs_the_model_itself_cannot_be_constrained(home, monkeypatch, tmp_path):
    settings = settings_of(home)
    with (
        pytest.raises(UsageError, match="use `guardedit serve`, or the strategy context"),
        open_proxy(settings, policy_of(settings, "constrained"), "http://127.0.0.1:9"),
    ):
        pass
    file = tmp_path / "p.yaml"
    file.write_text(Path(settings.policy).read_text() + "\nmemory: {strategy: constrained}\n")
    with pytest.raises(UsageError, match=r"memory\.strategy is constrained"):
        guardedit.attach(*guardedit.demo_model(), home, policy=file)
