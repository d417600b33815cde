"""The proxy: judge the question, state its facts, forward. What is no question is forwarded as it comes."""

from __future__ import annotations

import logging

from guardedit.gateway.checking import App, Receive, Scope, Send, refuse
from guardedit.gateway.facts import AWAY, facts_asked_for
from guardedit.gateway.proxy.aliases import Aliases, NotPublished
from guardedit.gateway.proxy.forwarding import ClientGone, Forwarder, Incoming
from guardedit.gateway.proxy.requests import read_request, with_facts, written
from guardedit.policy.sections import ProxySection
from guardedit.serving.facts_replica import FactsReplica

#: Ends of the paths whose requests ask a question.
_ASKS = ("/chat/completions", "/completions")
#: The header in which a client names its tenant; it is not forwarded.
TENANT = b"x-guardedit-tenant"
#: The header of an answer that names the model for which an alias stood.
MODEL = "X-Guardedit-Model"

_log = logging.getLogger(__name__)


def proxy_app(
    replica: FactsReplica, forwarder: Forwarder, rules: ProxySection, aliases: Aliases | None = None
) -> App:
    """The application.

    Args:
        replica: finds the facts.
        forwarder: to the server that answers.
        rules: where a fact goes, and what happens when the memory is away.
        aliases: model ids that stand for what a fleet answers from; None for none.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        tenant = next((value for name, value in scope["headers"] if name.lower() == TENANT), b"default")
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0].lower() != TENANT]}
        if scope["method"] != "POST" or not scope["path"].endswith(_ASKS) or _is_encoded(scope):
            incoming = Incoming(receive) if _has_body(scope) else b""
            await forwarder.forward(scope, receive, send, body=incoming)
            return
        try:
            raw = b"".join([piece async for piece in Incoming(receive).pieces()])
            raw, name = aliases.rewritten(raw) if aliases else (raw, "")
        except ClientGone:
            return
        except NotPublished as error:
            await refuse(send, 503, f"no epoch was published yet for the model {error}")
            return
        body, more = raw, {MODEL: name} if name else {}
        request = read_request(raw)
        if request is not None:
            try:
                found = await facts_asked_for(
                    replica,
                    request.question,
                    tenant=tenant.decode("latin-1"),
                    timeout_s=rules.memory_timeout_s,
                )
                if found.facts:
                    body = written(with_facts(request.body, found.facts, rules))
                    more |= found.headers
            except Exception as error:  # noqa: BLE001 - whatever ails the memory, the policy says what to do
                _log.warning("the memory could not be asked: %s", error or type(error).__name__)
                if rules.memory_away == "refuse":
                    await refuse(send, 503, AWAY)
                    return
        await forwarder.forward(scope, receive, send, body=body, more=more)

    return app


def _has_body(scope: Scope) -> bool:
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _is_encoded(scope: Scope) -> bool:
    """Whether the body is compressed: it is forwarded as it is."""
    encodings = [value for name, value in scope["headers"] if name.lower() == b"content-encoding"]
    return any(value.strip().lower() not in (b"", b"identity") for value in encodings)
