"""Opens everything that `guardedit proxy` runs: memory, follower of the ledger, way to the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from guardedit.core.errors import UsageError
from guardedit.gateway.checking import App, is_loopback
from guardedit.gateway.facts import open_facts
from guardedit.gateway.proxy.aliases import Aliases
from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.gateway.stating import rules_of
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import existing, exists
from guardedit.serving.facts_replica import FactsReplica
from guardedit.settings import Settings

#: Largest body of a request: conversations with images are large.
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Proxied:
    """A proxy that is ready.

    Attributes:
        app: the HTTP application.
        replica: the facts that it states.
    """

    app: App
    replica: FactsReplica


@contextmanager
def open_proxy(
    settings: Settings,
    policy: Policy,
    upstream: str,
    *,
    key: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Proxied]:
    """Load the encoder and follow the ledger's facts. No language model is loaded.

    Args:
        settings: home folder of the ledger.
        policy: its proxy section says how facts are stated, its fleets have aliases.
        upstream: address of the server that answers.
        key: sent to it in place of the client's; "" sends what the client sent.
        tell: called with a line of text when a stage begins.

    Raises:
        UsageError: `upstream` is not an address, or the policy's strategy needs guardedit to run the model.
    """
    check_upstream(upstream)
    rules = rules_of(policy)
    aliases = Aliases(policy)
    if aliases and exists(settings):
        with existing(settings) as ledger:
            aliases.follow(ledger)
    watch = aliases.follow if aliases else None
    with open_facts(settings, policy, tell=tell, watch=watch) as opened:
        forwarder = Forwarder(upstream, timeout_s=policy.proxy.upstream_timeout_s, key=key)
        yield Proxied(proxy_app(opened.replica, forwarder, rules, aliases), opened.replica)


def check_upstream(address: str) -> None:
    """Raise UsageError unless this is the address of an HTTP server.

    A user name or a password in it would end up in error messages.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"--upstream is {address!r:.200}: give an address such as http://127.0.0.1:8001")
    if parts.username or parts.password:
        raise UsageError(
            "--upstream has a user name or password in it: put the key into GUARDEDIT_UPSTREAM_KEY"
        )


def refuse_itself(upstream: str, own: str) -> None:
    """Raise UsageError if the address of the server is none, or the proxy's own: it would ask itself."""
    check_upstream(upstream)
    theirs, mine = urlsplit(upstream), urlsplit(own)
    names = {mine.hostname, "localhost"} if is_loopback(mine.hostname or "") else {mine.hostname}
    if theirs.port == mine.port and theirs.hostname in names:
        raise UsageError(
            f"--upstream {upstream} is this proxy: name another server, or --listen on another port"
        )
