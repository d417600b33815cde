"""An alias of a fleet in a request becomes what the fleet answers from, at the moment of the request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from guardedit.gateway.proxy.aliases import Aliases, NotPublished
from guardedit.gateway.proxying import open_proxy
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.load import parse_policy
from guardedit.settings import Settings
from tests.unit.gateway.conftest import listening, wait_for
from tests.unit.gateway.test_proxy import PIECES, Upstream

POLICY = """apiVersion: guardedit/v1
rules:
  - {id: all, route: memory, why: enough}
publish:
  - {name: fleet, kind: vllm, replicas: [http://127.0.0.1:9], model: base, alias: corrected, path: /x}
"""


@pytest.fixture
def ledger(tmp_path) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(tmp_path, base_sha256="b" * 64, clock=time.time) as found:
        yield found


@pytest.fixture
def rules():
    return parse_policy(POLICY, name="p")


def asked(url: str, model: str = "corrected", path: str = "chat/completions", **more) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "Hi \u00e9"}]} if "chat" in path else {"prompt": "Hi"}
    return httpx.post(f"{url}/v1/{path}", json={"model": model, **body, "x_own": [1, {"a": None}], **more})


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_requests_follow_what_the_fleet_answers_from(ledger, tmp_path, mode):
    rules, upstream = parse_policy(f"{POLICY}mode: {mode}\n", name="p"), Upstream()
    settings = Settings(home=tmp_path, metrics=None)
    with (
        listening(upstream.app) as direct,
        open_proxy(settings, rules, direct) as proxied,
        listening(proxied.app, dated=False) as url,
    ):
        early = asked(url)
        assert early.status_code == 503
        assert "no epoch was published yet for the model corrected" in early.text
        assert upstream.seen == []
        for name in ("guardedit-e000001-aaaaaaaa", "base"):
            ledger.record_activation("fleet", name, epoch=0)
            wait_for(lambda name=name: asked(url).headers.get("x-guardedit-model") == name)
            for path in ("chat/completions", "completions"):
                answer = asked(url, path=path, stream=True)
                assert (answer.status_code, answer.content) == (200, b"".join(PIECES))
                sent = upstream.body
                assert (sent["model"], sent["x_own"], sent["stream"]) == (name, [1, {"a": None}], True)
        other = asked(url, model="base")
        assert "x-guardedit-model" not in other.headers


def test_what_does_not_name_the_alias_as_its_model_stays_as_it_was(ledger, rules):
    aliases = Aliases(rules)
    ledger.record_activation("fleet", "a", epoch=0)
    aliases.follow(ledger)
    for raw in (
        b'{"model" : "base", "user": "corrected"}', b'{"model":["corrected"]}', b'["corrected"]',
        b"corrected",
        b'{"messages":[{"content":"corrected"}]}', b"", b"[" * 100_000 + b"corrected",
    ):  # fmt: skip
        assert aliases.rewritten(raw) == (raw, "")
    assert aliases.rewritten(b'{"model":"corr\\u0065cted"}') == (b'{"model":"a"}', "a")


def test_only_the_fleet_of_the_alias_counts(ledger, rules):
    aliases = Aliases(rules)
    ledger.record_activation("another", "a", epoch=0)
    aliases.follow(ledger)
    with pytest.raises(NotPublished):
        aliases.rewritten(json.dumps({"model": "corrected"}).encode())
    assert not Aliases(parse_policy(POLICY.partition("publish:")[0], name="p"))
