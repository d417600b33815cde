"""Opens several replicas in Ray actors, and the door in front of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from guardedit.core.errors import UsageError
from guardedit.gateway.checking import App
from guardedit.gateway.replicas.door import door_app
from guardedit.gateway.replicas.replica import open_replica
from guardedit.gateway.replicas.watching import Replicas
from guardedit.policy.schema import Policy
from guardedit.runtime.ray_token import use_token
from guardedit.settings import Settings

#: Seconds that the replicas may take to start: each loads the model.
START_S = 600.0


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """A door with its replicas.

    Attributes:
        app: the HTTP application.
        replicas: what is known of them.
    """

    app: App
    replicas: Replicas


@contextmanager
def open_door(
    settings: Settings,
    policy: Policy,
    *,
    count: int,
    aliases: Sequence[str] = (),
    most_rows: int = 32,
    most_waiting: int = 256,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[OpenDoor]:
    """Start replicas that follow the ledger, and wait until all of them answer.

    Args:
        settings: model and home folder, which every node must reach, and the cluster, if there is one.
        policy: as for `open_served`.
        count: number of replicas.
        aliases: further names of the model.
        most_rows: most answers that one replica makes at the same time.
        most_waiting: most requests that wait for a place in one replica.
        tell: called with a line of text when a stage begins.

    Raises:
        UsageError: Ray or a replica cannot be started.
    """
    use_token(secrets.token_hex(32))
    from guardedit.runtime.replicas.server_actors import ServerActors

    key = secrets.token_urlsafe(32)
    opens = partial(
        open_replica,
        settings=settings,
        policy=policy,
        key=key,
        aliases=tuple(aliases),
        most_rows=most_rows,
        most_waiting=most_waiting,
    )
    tell("starting Ray")
    with ServerActors(settings, opens, count=count) as actors:
        tell(f"starting {count} replicas")
        until = time.monotonic() + START_S
        while not all(actors.where(n) for n in range(count)):  # raises where one cannot start
            if time.monotonic() > until:
                raise UsageError(f"the replicas did not start within {START_S:g} s: look into Ray's logs")
        with Replicas([partial(actors.where, n) for n in range(count)], key=key) as replicas:
            while replicas.ready() < count and time.monotonic() < until:
                time.sleep(0.01)
            yield OpenDoor(door_app(replicas, key=key), replicas)
