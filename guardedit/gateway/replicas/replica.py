"""One replica: the application of `guardedit serve`, and a stream of its epochs for the door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from guardedit.gateway.checking import App, Receive, Scope, Send, client_gone
from guardedit.gateway.listening import Listener, in_thread
from guardedit.gateway.serving import open_served
from guardedit.policy.schema import Policy
from guardedit.settings import Address, Settings

#: The path of the stream: a line for each new state, and again after `BEAT_S`. It has the epoch and, after a
#: space, why that is not the ledger's.
EPOCHS = "/replica/epochs"
#: Seconds after which the door hears of a replica again, whose epoch has not changed.
BEAT_S = 1.0
#: How often the epoch is looked at.
_LOOK_S = 0.01


@contextmanager
def open_replica(
    host: str,
    *,
    settings: Settings,
    policy: Policy,
    key: str,
    aliases: Sequence[str],
    most_rows: int,
    most_waiting: int,
) -> Iterator[str]:
    """Load a model and serve it for a door; yields its address.

    Args:
        host: where it listens. Other machines may reach it: the key is what protects it.
        settings: model and home folder.
        policy: as for `open_served`.
        key: the secret that the door sends.
        aliases: as for `open_served`.
        most_rows: as for `open_served`.
        most_waiting: as for `open_served`.
    """
    listener = Listener(address=Address(host, 0), key=key, open_to_all=True)
    with open_served(
        settings, policy, aliases=aliases, most_rows=most_rows, most_waiting=most_waiting
    ) as served:
        replica = served.models.find("serving").replica
        app = with_epochs(served.app, replica.epoch, lambda: served.follower.problem)
        with in_thread(listener, app) as url:
            yield url


def with_epochs(app: App, epoch: Callable[[], int | None], problem: Callable[[], str] = lambda: "") -> App:
    """The application with the stream of epochs.

    Args:
        app: the application.
        epoch: that it serves.
        problem: why it is not the ledger's; "" if it is.
    """

    def state() -> bytes:
        return f"{epoch()} {' '.join(problem().split())}".strip().encode() + b"\n"

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != EPOCHS:
            await app(scope, receive, send)
            return
        gone = asyncio.ensure_future(client_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            with suppress(OSError):  # the door has closed the connection
                while not gone.done():
                    body = state()
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    await _changed(state, body, gone)
        finally:
            gone.cancel()

    return both


async def _changed(state: Callable[[], bytes], before: bytes, gone: asyncio.Future[None]) -> None:
    """Return when the state is another one, the client is gone, or it is time for a sign of life."""
    for _ in range(round(BEAT_S / _LOOK_S)):
        await asyncio.sleep(_LOOK_S)
        if gone.done() or state() != before:
            return
