"""`guardedit proxy`: state facts to any server with OpenAI's API, and leave everything else as it is."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated

import typer

from guardedit.cli.http.options import KEY, Certificate, Listen, OpenToAll, PrivateKey, listener_of
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

DEFAULT_ADDRESS = "127.0.0.1:8001"
#: The variable with the key that is sent to the server behind the proxy.
UPSTREAM_KEY = "GUARDEDIT_UPSTREAM_KEY"


def proxy(
    *,
    upstream: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The server that answers, such as http://127.0.0.1:8080.", show_default=False
        ),
    ],
    home: Home = None,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
    listen: Listen = DEFAULT_ADDRESS,
    tls_certificate: Certificate = None,
    tls_key: PrivateKey = None,
    open_to_all: OpenToAll = False,
) -> None:
    """Stand in front of a server with OpenAI's API, and state facts in the questions that ask for them.

    A question in scope of a fact gets it beside the last user turn, as the policy's `proxy` section says.
    Every other request, and every answer, passes byte for byte. Facts in the weights are stated too, since
    the other server has no edits.

    Clients ask this address instead of the server's. Their API key is forwarded, unless
    $GUARDEDIT_UPSTREAM_KEY is set: then that key is sent. If $GUARDEDIT_SERVE_KEY is set, clients must send
    it, and $GUARDEDIT_UPSTREAM_KEY is needed.
    """
    from guardedit.policy.load import load_policy

    try:
        from guardedit.gateway.proxying import MOST_BYTES, open_proxy, refuse_itself
    except ModuleNotFoundError as error:
        raise UsageError(f"a proxy needs the package {error.name}: pip install 'guardedit[serve]'") from None
    settings = settings_from(home, policy)
    rules = load_policy(settings.policy)
    own, other = (os.environ.get(name, "").strip() for name in (KEY, UPSTREAM_KEY))
    if own and not other:
        raise UsageError(f"{KEY} is set, so clients cannot send the server's key: set {UPSTREAM_KEY} too")
    listener = listener_of(listen, own, tls_certificate, tls_key, open_to_all=open_to_all)
    with listener.bind() as bound, ExitStack() as stack:
        refuse_itself(upstream, listener.url(bound))
        with progress("loading the encoder") as report:
            opened = open_proxy(settings, rules, upstream, key=other, tell=report)
            found = stack.enter_context(opened)
        url, epoch = listener.url(bound), found.replica.epoch()
        ready = {"event": "ready", "url": f"{url}/v1", "upstream": upstream, "epoch": epoch}
        show.line(ready, output, f"ready: {url}/v1 in front of {upstream}, epoch {epoch}")
        listener.run(found.app, bound, most_bytes=MOST_BYTES, dated=False)
