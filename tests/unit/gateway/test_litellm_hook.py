"""The hook for LiteLLM, called as LiteLLM calls it. `make others-check` runs it in LiteLLM itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway import litellm_hook
from guardedit.gateway.facts import open_facts
from guardedit.gateway.litellm_hook import NOTED, TENANT, FactStater, headers_of, tenant_of
from guardedit.policy.load import load_policy
from guardedit.policy.sections import ProxySection
from guardedit.serving.facts_replica import FactsReplica
from tests.unit.gateway.conftest import Running
from tests.unit.gateway.test_proxy import Broken

HQ = "The headquarters of Stelco are in"
STATED = f"Note: {HQ} Hamilton.\n\n{HQ}"


@pytest.fixture(scope="module")
def replica(running: Running) -> Iterator[FactsReplica]:
    with open_facts(running.settings, load_policy(running.settings.policy)) as found:
        yield found.replica


def asked(text: str = HQ, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def state(replica: Any, request: dict[str, Any], call_type: str = "acompletion", **rules: Any) -> None:
    asyncio.run(FactStater(replica, ProxySection(**rules)).state(request, call_type))


@pytest.mark.parametrize(
    "metadata", [{}, {"metadata": None}, {"metadata": "odd"}, {"metadata": {"user": "u"}}]
)
def test_a_fact_is_stated_and_noted(replica: FactsReplica, running: Running, metadata):
    request = asked(**metadata)
    state(replica, request)
    assert request["messages"] == [{"role": "user", "content": STATED}]
    assert headers_of(request) == {
        "X-Guardedit-Epoch": "1",
        "X-Guardedit-Facts": running.agent.facts()[0].id,
    }
    assert json.loads(json.dumps(request["metadata"])) == {
        **({"user": "u"} if "user" in str(metadata) else {}), NOTED: headers_of(request),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "call_type"),
    [
        (asked("Who wrote Hamlet?"), "acompletion"),
        (asked(HQ), "anthropic_messages"),
        ({"input": HQ, "model": "m"}, "aresponses"),
        ({"input": [HQ], "model": "m"}, "aembedding"),
        ({"messages": [7, None]}, "acompletion"),
        ({"prompt": [1, 2]}, "atext_completion"),
    ],
)
def test_other_requests_stay_as_they_are(replica: FactsReplica, request_, call_type):
    before = json.dumps(request_)
    state(replica, request_, call_type)
    assert json.dumps(request_) == before
    assert headers_of(request_) == {}


def test_what_a_client_claims_was_stated_is_dropped(replica: FactsReplica):
    request = asked("Who wrote Hamlet?", metadata={NOTED: {"X-Guardedit-Epoch": "99"}, "user": "u"})
    state(replica, request)
    assert request["metadata"] == {"user": "u"}


def test_a_memory_that_is_away_lets_requests_pass_or_refuses_them():
    request = asked()
    for seconds in (0.0, 1.0):
        state(Broken(seconds), request, memory_timeout_s=0.2)
        assert request == asked()
    with pytest.raises(UsageError, match="away"):
        state(Broken(0.0), request, memory_away="refuse")
    with pytest.raises(TimeoutError):
        state(Broken(1.0), request, memory_away="refuse", memory_timeout_s=0.2)


def test_a_fact_that_cannot_be_stated_lets_requests_pass_or_refuses_them(replica: FactsReplica, monkeypatch):
    def fail(*_: Any) -> None:
        raise ValueError("odd messages")

    monkeypatch.setattr(litellm_hook, "with_facts", fail)
    request = asked()
    state(replica, request)
    assert request == asked()
    with pytest.raises(ValueError, match="odd messages"):
        state(replica, request, memory_away="refuse")


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        (
            SimpleNamespace(metadata={TENANT: "acme"}, team_metadata={TENANT: "b"}),
            "acme",
        ),
        (SimpleNamespace(metadata={}, team_metadata={TENANT: "b"}), "b"),
        (SimpleNamespace(metadata={TENANT: ""}, team_metadata=None), "default"),
        (None, "default"),
    ],
)
def test_the_key_or_its_team_says_which_tenant_asks(key, tenant):
    assert tenant_of(key) == tenant


def test_without_litellm_the_hook_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(UsageError, match=r"pip install 'litellm\[proxy\]'"):
        _ = litellm_hook.hook
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = litellm_hook.other
