"""The proxy in front of llama.cpp's own server: what passes is compared on the wire, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
from transformers import LlamaConfig

import guardedit
from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.gateway.proxying import open_proxy
from guardedit.policy.load import load_policy
from guardedit.policy.sections import ProxySection
from guardedit.serving.facts_replica import FactsReplica
from guardedit.settings import Settings
from tests.integration.conftest import TEMPLATE, said
from tests.llama_cpp import llama_server, write_model
from tests.tapped import Tap, kept, tapped
from tests.tiny_models import build, byte_tokenizer
from tests.unit.gateway.conftest import listening, wait_for

HQ = "The headquarters of Stelco are in"
STATED = f"Correction: {HQ} Hamilton."


@dataclass
class Chain:
    """client -> proxy -> tap -> llama.cpp."""

    proxy: str
    tap: Tap
    server: str
    replica: FactsReplica


@pytest.fixture(scope="module")
def chain(stelco: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    model, tokenizer = guardedit.demo_model()
    path = write_model(tmp_path_factory.mktemp("gguf") / "demo.gguf", model, tokenizer, template=TEMPLATE)
    with (
        llama_server(path) as server,
        tapped(server) as tap,
        open_proxy(stelco, load_policy(stelco.policy), tap.url) as proxied,
        listening(proxied.app, dated=False) as proxy,
    ):
        yield Chain(proxy, tap, server, proxied.replica)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


OSLO = {"messages": user("Oslo is the capital of"), "max_tokens": 6}
PROMPT = {"prompt": "Oslo is the capital of", "max_tokens": 6}
ODD = b'{"max_tokens" :4, "x_v":{"a":[]},\n"messages":[{"role":"user","content":"Hi \\u00e9 \xc3\xa9"}]}'
PARAMETERS = {"type": "object", "properties": {"x": {"type": "string"}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": PARAMETERS}}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
CALLED = [
    *user(HQ),
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Stelco"},
]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
STREAM = {"stream": True}
#: Name -> method, path, body and the status of the answer.
PASSES = {
    "a chat": ("POST", CHAT, OSLO, 200),
    "a streamed chat": ("POST", CHAT, {**OSLO, **STREAM}, 200),
    "usage of a stream": ("POST", CHAT, {**OSLO, **STREAM, "stream_options": {"include_usage": True}}, 200),
    "log probabilities": ("POST", CHAT, {**OSLO, "logprobs": True, "top_logprobs": 3}, 200),
    "fields of llama.cpp": ("POST", CHAT, {**OSLO, "top_k": 5, "grammar": 'root ::= " Nor"'}, 200),
    "unknown fields and odd spacing": ("POST", CHAT, ODD, 200),
    "tools": ("POST", CHAT, {**OSLO, **TOOLS, "tool_choice": "auto"}, 200),
    "a streamed call": ("POST", CHAT, {**OSLO, **TOOLS, **STREAM, "tool_choice": "required"}, 200),
    "the result of a tool": ("POST", CHAT, {**TOOLS, "messages": CALLED, "max_tokens": 4}, 200),
    "a text": ("POST", TEXT, PROMPT, 200),
    "a streamed text": ("POST", TEXT, {**PROMPT, **STREAM}, 200),
    "token ids": ("POST", TEXT, {**PROMPT, "prompt": [312, 3262, 270]}, 200),
    "llama.cpp's own endpoint": ("POST", "/completion", {**STREAM, "prompt": HQ, "n_predict": 3}, 200),
    "tokens": ("POST", "/tokenize", {"content": HQ}, 200),
    "models": ("GET", "/v1/models", b"", 200),
    "adapters": ("GET", "/lora-adapters?x=%20y", b"", 200),
    "only the head": ("HEAD", "/v1/models", b"", 200),
    "no JSON": ("POST", CHAT, b"\xff{no", 400),
    "no messages": ("POST", CHAT, {"model": "x"}, 400),
    "a value of a wrong kind": ("POST", CHAT, {**OSLO, "max_tokens": "many"}, 400),
    "more than the context": ("POST", CHAT, {"messages": user("word " * 400)}, 400),
    "an endpoint that is off": ("POST", "/v1/embeddings", {"input": HQ}, 501),
    "no such endpoint": ("GET", "/v1/files/a%2Fb", b"", 404),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_is_out_of_scope_passes_on_the_wire_as_it_was_sent(chain: Chain, name: str):
    method, path, body, status = PASSES[name]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    mine = {"authorization": "Bearer sk-secret", "content-type": "application/json", "x-custom": "one"}
    with httpx.stream(method, chain.proxy + path, content=raw, headers=mine, timeout=60) as answer:
        received = b"".join(answer.iter_raw())
    passed = chain.tap.latest
    assert passed.line == f"{method} {path} HTTP/1.1"
    assert (passed.asked, sha(passed.body)) == (kept(answer.request.headers.items()), sha(raw))
    assert (answer.status_code, passed.status) == (status, status)
    assert (kept(answer.headers.multi_items()), sha(received)) == (passed.answered, sha(passed.answer))


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_in_scope_is_answered_with_its_fact(chain: Chain, stream: bool):
    earlier = [*user("Hi"), {"role": "assistant", "content": "Hello."}]
    with (
        openai.OpenAI(base_url=f"{chain.server}/v1", api_key="none") as direct,
        openai.OpenAI(base_url=f"{chain.proxy}/v1", api_key="none") as client,
    ):
        asked = {"model": "m", "messages": user(HQ), "max_tokens": 8}
        assert "Hamilton" not in direct.chat.completions.create(**asked).choices[0].message.content
        raw = client.chat.completions.with_raw_response.create(**asked, stream=stream)
        assert "Hamilton" in said(raw.parse())
        assert (raw.headers["x-guardedit-epoch"], len(raw.headers["x-guardedit-facts"])) == ("1", 16)
        text = client.completions.create(model="m", prompt=HQ, max_tokens=8, stream=stream)
        # A plain text takes the fact on a line of its own, where this model does not look for it.
        assert said(text)
        assert json.loads(chain.tap.latest.body)["prompt"] == f"{STATED}\n{HQ}"
        parts = [{"type": "text", "text": HQ}]
        for messages in ([*earlier, *user(HQ)], [{"role": "user", "content": parts}]):
            said(client.chat.completions.create(model="m", messages=messages, max_tokens=4, stream=stream))
            sent = chain.tap.latest
            assert sent.body.count(STATED.encode()) == 1
            assert json.loads(sent.body)["messages"][:-1] == messages[:-1]


def test_many_questions_at_once_get_the_answers_that_are_theirs(chain: Chain):
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        text = HQ if number % 2 else "Oslo is the capital of"
        stream = await client.chat.completions.create(
            model="m", messages=user(text), max_tokens=6, stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{chain.proxy}/v1", api_key="none") as client:
            return await asyncio.gather(*(ask(client, number) for number in range(24)))

    answers = asyncio.run(all_of_them())
    assert all("Hamilton" in answer for answer in answers[1::2])
    assert all("Norway" in answer for answer in answers[::2])


def test_a_client_that_hangs_up_frees_the_servers_slot(chain: Chain, tmp_path: Path):
    tokenizer = byte_tokenizer([HQ])
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=65536, head_dim=16,
    )  # fmt: skip
    path = write_model(tmp_path / "tiny.gguf", build(config), tokenizer)
    endless = {"prompt": "Oslo", "max_tokens": 60_000, "ignore_eos": True, "stream": True}
    with llama_server(path, context=65536) as server:
        app = proxy_app(chain.replica, Forwarder(server, timeout_s=20), ProxySection())

        def busy() -> bool:
            return any(slot["is_processing"] for slot in httpx.get(f"{server}/slots").json())

        with listening(app) as proxy:
            with httpx.stream("POST", f"{proxy}/v1/completions", json=endless, timeout=20) as answer:
                pieces = answer.iter_raw()  # httpx hangs up when this is dropped
                next(pieces)
                assert busy()
            wait_for(lambda: not busy(), 5)


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
