"""The proxy: judge the question, state its fact, forward. What is no question is forwarded as it comes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from guardedit.core.fact import Fact
from guardedit.gateway.listening import App, Receive, Scope, Send
from guardedit.gateway.proxy.forwarding import ClientGone, Forwarder, Incoming, refuse
from guardedit.gateway.proxy.requests import ReadRequest, read_request, with_fact
from guardedit.policy.sections import ProxySection
from guardedit.serving.facts_replica import FactsReplica

#: Ends of the paths whose requests ask a question.
_ASKS = ("/chat/completions", "/completions")
#: The header in which a client names its tenant; it is not forwarded.
TENANT = b"x-guardedit-tenant"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    fact: Fact | None
    epoch: int


def proxy_app(replica: FactsReplica, forwarder: Forwarder, rules: ProxySection) -> App:
    """The application.

    Args:
        replica: finds the facts.
        forwarder: to the server that answers.
        rules: where a fact goes, and what happens when the memory is away.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        tenant = next((value for name, value in scope["headers"] if name.lower() == TENANT), b"default")
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0].lower() != TENANT]}
        if scope["method"] != "POST" or not scope["path"].endswith(_ASKS) or _is_encoded(scope):
            body = Incoming(receive) if _has_body(scope) else b""
            await forwarder.forward(scope, receive, send, body=body)
            return
        try:
            raw = b"".join([piece async for piece in Incoming(receive).pieces()])
        except ClientGone:
            return
        request = read_request(raw)
        if request is None:
            await forwarder.forward(scope, receive, send, body=raw)
            return
        try:
            judged = asyncio.to_thread(_judged, replica, request, tenant.decode("latin-1"))
            found = await asyncio.wait_for(judged, rules.memory_timeout_s)
            stated = with_fact(request.body, found.fact, rules) if found.fact else raw
        except Exception as error:  # noqa: BLE001 - whatever ails the memory, the policy says what to do
            _log.warning("the memory could not be asked: %s", error or type(error).__name__)
            if rules.memory_away == "refuse":
                await refuse(send, 503, "the memory cannot be asked at the moment: try again")
            else:
                await forwarder.forward(scope, receive, send, body=raw)
            return
        if found.fact is None:
            await forwarder.forward(scope, receive, send, body=raw)
            return
        more = {"X-Guardedit-Epoch": str(found.epoch), "X-Guardedit-Facts": found.fact.id}
        await forwarder.forward(scope, receive, send, body=stated, more=more)

    return app


def _judged(replica: FactsReplica, request: ReadRequest, tenant: str) -> _Found:
    question = request.question
    readings = [question.text]
    if question.needs_subject:
        texts = [question.text, *question.looked_back]
        readings = question.readings(replica.subjects(texts, tenant=tenant))
    found = replica.recalled(readings, tenant=tenant)
    return _Found(next((fact for fact in found.facts if fact), None), found.epoch)


def _has_body(scope: Scope) -> bool:
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _is_encoded(scope: Scope) -> bool:
    """Whether the body is compressed: it is forwarded as it is."""
    encodings = [value for name, value in scope["headers"] if name.lower() == b"content-encoding"]
    return any(value.strip().lower() not in (b"", b"identity") for value in encodings)
