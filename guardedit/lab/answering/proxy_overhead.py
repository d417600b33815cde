"""How much later an answer comes through `guardedit proxy` than straight from the server behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from guardedit import assembly
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Snapshot
from guardedit.gateway.checking import Receive, Scope, Send
from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.lab.answering.clients import quantile
from guardedit.lab.answering.served import local_server
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.answers import base_snapshot
from guardedit.serving.facts_replica import FactsReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: Requests before the measured ones.
_WARM = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOverhead:
    """One row of the result; times in ms.

    Attributes:
        asked: `no fact` or `with fact`; each question is new, so that nothing is answered from a cache.
        facts: number of live facts.
        in_scope: share of the questions that got a fact.
        direct_p50, direct_p99: straight from the server.
        proxy_p50, proxy_p99: through the proxy.
        overhead_p50: difference of the medians.
    """

    asked: str
    facts: int
    in_scope: float
    direct_p50: float
    direct_p99: float
    proxy_p50: float
    proxy_p99: float
    overhead_p50: float


def measure_proxy(
    settings: Settings, policy: Policy, *, facts: int, requests: int, tell: Callable[[str], None]
) -> list[ProxyOverhead]:
    """Ask a server that answers at once, straight and through the proxy in turns.

    Args:
        settings: names the encoder; the home folder is not used.
        policy: its memory and proxy sections.
        facts: number of live facts.
        requests: of each kind.
        tell: progress.
    """
    tell("loading the encoder")
    use_unsure = policy.memory.unsure == "use_fact"
    replica = FactsReplica([MemoryShard(assembly.load_memory(settings, policy))], use_unsure=use_unsure)
    tell(f"encoding {facts} facts")
    epoch = base_snapshot("", policy).epoch
    replica.publish(Snapshot(epoch=epoch, facts=tuple(_fact(n) for n in range(facts))))
    rows = []
    with local_server(_server) as direct:
        app = proxy_app(replica, Forwarder(direct, timeout_s=60.0), policy.proxy)
        with local_server(app) as proxy, httpx.Client(trust_env=False, timeout=60.0) as http:
            for asked in ("no fact", "with fact"):
                tell(f"asking, {asked}")
                took: dict[str, list[float]] = {direct: [], proxy: []}
                hits = 0
                for n in range(requests + _WARM):
                    body = _body(asked, n, facts)
                    for url in (direct, proxy):
                        started = time.perf_counter()
                        answer = http.post(f"{url}/v1/chat/completions", json=body)
                        took[url].append(1000 * (time.perf_counter() - started))
                        hits += "x-guardedit-facts" in answer.headers
                share = hits / (requests + _WARM)
                rows.append(_row(asked, facts, share, took[direct][_WARM:], took[proxy][_WARM:]))
    return rows


def _row(asked: str, facts: int, in_scope: float, direct: list[float], proxy: list[float]) -> ProxyOverhead:
    return ProxyOverhead(
        asked=asked,
        facts=facts,
        in_scope=in_scope,
        direct_p50=quantile(direct, 0.5),
        direct_p99=quantile(direct, 0.99),
        proxy_p50=quantile(proxy, 0.5),
        proxy_p99=quantile(proxy, 0.99),
        overhead_p50=quantile(proxy, 0.5) - quantile(direct, 0.5),
    )


async def _server(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers every request at once."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def _body(asked: str, n: int, facts: int) -> dict[str, Any]:
    question = (
        f"What would be a good title for story number {n} about the sea?"
        if asked == "no fact"
        else f"The headquarters of Company{n % facts} are located in"
    )
    return {"model": "m", "messages": [{"role": "user", "content": question}]}


def _fact(n: int) -> Fact:
    subject = f"Company{n}"
    return Fact(
        key=FactKey(subject, "P159"),
        version=1,
        correction_id=f"c{n}",
        wordings=(f"The headquarters of {subject} are in",),
        target="Hamilton",
    )
