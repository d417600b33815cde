"""`guardedit serve`: answer applications over HTTP, as OpenAI's API does."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from guardedit.cli.http.options import KEY, Certificate, Listen, OpenToAll, PrivateKey, listener_of
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

DEFAULT_ADDRESS = "127.0.0.1:8000"


def serve(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    listen: Listen = DEFAULT_ADDRESS,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further name for the serving epoch, such as the one that an application asks for. "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    most_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Make at most N answers at the same time.")
    ] = 32,
    most_waiting: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Let at most N requests wait; refuse more with status 429."),
    ] = 256,
    replicas: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            metavar="N",
            help="Answer from N replicas in Ray actors; 1 answers from this process.",
        ),
    ] = 1,
    tls_certificate: Certificate = None,
    tls_key: PrivateKey = None,
    open_to_all: OpenToAll = False,
) -> None:
    """Answer applications over HTTP, in the form of OpenAI's API.

    Offers /v1/chat/completions, /v1/completions and /v1/models. The model `serving` follows the ledger: a
    correction that `guardedit run` accepts is answered by the next request. `base` is the unedited model, and
    `epoch:N` an earlier state. Each answer names its epoch and its facts in headers.

    With --replicas, every replica loads the model. A request whose replica is lost goes to another one,
    unless its answer has begun to stream.

    The ledger is only read, so `guardedit run` may work beside it. If $GUARDEDIT_SERVE_KEY is set, clients
    must send it as their API key. SIGTERM or Ctrl-C ends the server after running answers, at most 5 seconds.
    """
    from guardedit.policy.load import load_policy

    try:
        from guardedit.gateway.replicas.opening import open_door
        from guardedit.gateway.serving import open_served
    except ModuleNotFoundError as error:
        raise UsageError(f"serving needs the package {error.name}: pip install 'guardedit[serve]'") from None
    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    listener = listener_of(
        listen, os.environ.get(KEY, "").strip(), tls_certificate, tls_key, open_to_all=open_to_all
    )
    options: dict[str, Any] = {"aliases": alias or (), "most_rows": most_rows, "most_waiting": most_waiting}
    with listener.bind() as bound, ExitStack() as stack:
        with progress("loading the model") as report:
            if replicas > 1:
                door = stack.enter_context(open_door(settings, rules, count=replicas, tell=report, **options))
                app, epoch = door.app, door.replicas.epoch()
            else:
                served = stack.enter_context(open_served(settings, rules, tell=report, **options))
                app, epoch = served.app, served.models.find("serving").replica.epoch()
        url = listener.url(bound)
        ready = {"event": "ready", "url": f"{url}/v1", "epoch": epoch}
        show.line(ready, output, f"ready: {url}/v1, epoch {epoch}")
        listener.run(app, bound)
