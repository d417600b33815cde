"""The hook in a real LiteLLM proxy, in front of llama.cpp's own server. `make others-check` runs this.

LiteLLM needs other versions of packages than we do, so it runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import openai
import pytest

import guardedit
from guardedit.settings import shipped_policy
from tests.integration.conftest import TEMPLATE, said
from tests.llama_cpp import llama_server, write_model
from tests.tapped import Tap, tapped
from tests.unit.gateway.conftest import wait_for

#: The folder of programs of an environment with LiteLLM.
OTHERS = os.environ.get("OTHERS", "")
pytestmark = pytest.mark.skipif(not OTHERS, reason="`make others-check` installs LiteLLM")

KEY, ACME = "sk-" + "5f" * 24, "sk-" + "ac" * 24
HQ, OSLO = "The headquarters of Stelco are in", "Oslo is the capital of"
CONFIG = """
model_list:
  - model_name: my-model
    litellm_params: {model: openai/demo, api_base: UPSTREAM/v1, api_key: none}
litellm_settings:
  callbacks: ["guardedit.gateway.litellm_hook.hook"]
general_settings:
  custom_auth: keys.known
"""
#: LiteLLM keeps keys with metadata in a database; this stands in for it.
KEYS = f"""
from litellm.proxy._types import UserAPIKeyAuth

async def known(request, api_key):
    metadata = {{"{KEY}": {{}}, "{ACME}": {{"guardedit-tenant": "acme"}}}}[api_key]
    return UserAPIKeyAuth(api_key=api_key, metadata=metadata)
"""


@dataclass
class Chain:
    """client -> LiteLLM -> tap -> llama.cpp."""

    url: str
    tap: Tap
    agent: guardedit.Agent

    def client(self, key: str = KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


def correction(subject: str, target: str, **more: str) -> dict[str, str]:
    return {"subject": subject, "prompt": "The headquarters of {} are in", "target_new": target, **more}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("litellm")
    policy = folder / "policy.yaml"
    text = shipped_policy("memory-only.yaml").read_text("utf-8")
    # The machine may be busy, and no answer is to go without its fact because of that.
    policy.write_text(text + '\nproxy: {statement: "Correction: {facts}", memory_timeout_s: 60}\n', "utf-8")
    model = write_model(folder / "demo.gguf", *guardedit.demo_model(), template=TEMPLATE)
    with (
        guardedit.open(folder / "home", policy=policy) as agent,
        llama_server(model) as server,
        tapped(server) as tap,
    ):
        agent.submit([correction("Stelco", "Hamilton"), correction("Stelco", "Lima", tenant="acme")])
        agent.settle()
        (folder / "config.yaml").write_text(CONFIG.replace("UPSTREAM", tap.url))
        (folder / "keys.py").write_text(KEYS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            f"{OTHERS}/litellm",
            "--config",
            "config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        environment = {
            **os.environ,
            "GUARDEDIT_HOME": str(folder / "home"),
            "GUARDEDIT_POLICY": str(policy),
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # asks the network for nothing
        }
        log = folder / "log.txt"
        with (
            log.open("w") as written,
            subprocess.Popen(
                command, cwd=folder, env=environment, stdout=written, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                url = f"http://127.0.0.1:{port}"
                until = time.monotonic() + 300
                while not answers(url):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.3)
                yield Chain(url, tap, agent)
            finally:
                process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/liveliness", timeout=5).is_success
    except httpx.HTTPError:
        return False


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("chat", [False, True])
def test_a_question_in_scope_is_answered_with_its_fact_and_others_pass(
    chain: Chain, stream: bool, chat: bool
):
    with chain.client() as client:
        ask = client.chat.completions if chat else client.completions
        for text, fact in ((HQ, True), (OSLO, False)):
            question = {"messages": user(text)} if chat else {"prompt": text}
            raw = ask.with_raw_response.create(model="my-model", max_tokens=6, stream=stream, **question)
            answer = said(raw.parse())
            assert ("Hamilton" in answer) is fact, answer
            assert raw.headers.get("x-guardedit-epoch") == ("1" if fact else None)
            assert len(raw.headers.get("x-guardedit-facts", "")) == (16 if fact else 0)
            sent = json.loads(chain.tap.latest.body)
            assert json.dumps(sent).count("Correction: ") == fact
            assert not {"metadata", "guardedit"} & sent.keys()


def test_what_surrounds_the_question_reaches_the_server_as_it_was(chain: Chain):
    earlier = [
        {"role": "system", "content": "Be brief."},
        *user("Hi"),
        {"role": "assistant", "content": "Hi."},
    ]
    parts = [{"type": "text", "text": HQ}]
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    with chain.client() as client:
        client.chat.completions.create(
            model="my-model",
            messages=[*earlier, {"role": "user", "content": parts}],
            tools=tools,
            max_tokens=4,
            seed=7,
            # A client cannot say which facts were stated.
            extra_body={"metadata": {"guardedit": {"X-Guardedit-Epoch": "99"}}},
        )
    sent = json.loads(chain.tap.latest.body)
    stated = {"type": "text", "text": f"Correction: {HQ} Hamilton."}
    assert sent["messages"] == [*earlier, {"role": "user", "content": [stated, *parts]}]
    assert (sent["tools"], sent["seed"]) == (tools, 7)
    with chain.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model="my-model", messages=user(OSLO), max_tokens=4,
            extra_body={"metadata": {"guardedit": {"X-Guardedit-Epoch": "99"}}},
        )  # fmt: skip
    assert "x-guardedit-epoch" not in raw.headers


def test_a_question_before_a_tools_result_is_not_judged_again(chain: Chain):
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        *user(HQ),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Stelco"},
    ]
    with chain.client() as client:
        client.chat.completions.create(model="my-model", messages=messages, max_tokens=4)
    assert b"Correction" not in chain.tap.latest.body


def test_a_keys_tenant_sees_its_facts(chain: Chain):
    with chain.client(ACME) as client:
        answer = client.chat.completions.create(model="my-model", messages=user(HQ), max_tokens=6)
    assert "Lima" in said(answer)


def test_an_error_of_the_server_is_an_error(chain: Chain):
    with chain.client() as client, pytest.raises(openai.APIStatusError) as error:
        client.chat.completions.create(model="my-model", messages=user("word " * 400 + HQ))
    assert "context" in str(error.value)


def test_many_streams_at_once_get_the_facts_that_are_theirs(chain: Chain):
    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, str | None]:
        raw = await client.chat.completions.with_raw_response.create(
            model="my-model", messages=user(HQ if number % 2 else OSLO), max_tokens=6, stream=True
        )
        pieces = [chunk async for chunk in raw.parse()]
        text = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
        return text, raw.headers.get("x-guardedit-epoch")

    async def all_of_them() -> list[tuple[str, str | None]]:
        async with openai.AsyncOpenAI(base_url=f"{chain.url}/v1", api_key=KEY, max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(16)))

    for number, (text, epoch) in enumerate(asyncio.run(all_of_them())):
        assert ("Hamilton" in text, epoch) == ((True, "1") if number % 2 else (False, None))


def test_a_new_correction_counts_while_it_runs(chain: Chain):
    chain.agent.submit(correction("Nokia", "Lagos"))
    chain.agent.settle()
    question = {"model": "my-model", "messages": user("The headquarters of Nokia are in"), "max_tokens": 6}

    def found() -> bool:
        with chain.client() as client:
            raw = client.chat.completions.with_raw_response.create(**question)
        return raw.headers.get("x-guardedit-epoch") == "2" and "Lagos" in said(raw.parse())

    wait_for(found)
