"""The proxy in front of servers that other people wrote, asked by the real `openai` client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

import guardedit
from guardedit.gateway.proxying import open_proxy
from guardedit.policy.load import load_policy
from guardedit.settings import Settings
from tests.integration.conftest import TEMPLATE
from tests.unit.gateway.conftest import listening

HQ = "The headquarters of Stelco are in"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` on the demo model, which gets a template of its own."""
    folder = tmp_path_factory.mktemp("model")
    model, tokenizer = guardedit.demo_model()
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).parent / "transformers"
    arguments = [command, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + 120
            while not _answers(url):
                assert server.poll() is None, server.stdout.read()
                assert time.monotonic() < until
                time.sleep(0.2)
            yield f"{url}|{folder}"
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_transformers_serve_answers_with_facts(stelco: Settings, upstream: str):
    url, model = upstream.split("|")
    question = {"model": model, "messages": [{"role": "user", "content": HQ}], "max_tokens": 8}
    with (
        open_proxy(stelco, load_policy(stelco.policy), url) as found,
        listening(found.app, dated=False) as proxy,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none") as direct,
        openai.OpenAI(base_url=f"{proxy}/v1", api_key="none") as client,
    ):
        assert "Hamilton" not in direct.chat.completions.create(**question).choices[0].message.content
        raw = client.chat.completions.with_raw_response.create(**question)
        assert "Hamilton" in raw.parse().choices[0].message.content
        assert raw.headers["x-guardedit-epoch"] == "1"
        streamed = client.chat.completions.create(**question, stream=True)
        assert "Hamilton" in "".join(
            chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices
        )
        other = {**question, "messages": [{"role": "user", "content": "Oslo is the capital of"}]}
        answers = [
            one.chat.completions.create(**other).choices[0].message.content for one in (direct, client)
        ]
        assert answers[0] == answers[1]
        # Offline, this server cannot list its models: the proxy passes its error.
        there, through = (httpx.get(f"{one}/v1/models") for one in (url, proxy))
        assert (through.status_code, through.content) == (there.status_code, there.content)
