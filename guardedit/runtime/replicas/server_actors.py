"""Ray actors that each run a server. Knows nothing of what is served: it gets a function that opens it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError

from guardedit.runtime.calls import raise_if_constructor_failed
from guardedit.runtime.cluster import connect
from guardedit.runtime.loopback import ADDRESS
from guardedit.settings import Settings

#: Opens a server that listens on this host, and gives its address.
OpenServer = Callable[[str], AbstractContextManager[str]]
#: How long a look at an actor that starts may take.
_LOOK_S = 1.0


class ServerActor:
    """A server that lives as long as its process.

    Args:
        opens: opens the server.
        host: where it listens; "" for the address of the actor's node.
        threads: for the model.
    """

    def __init__(self, opens: OpenServer, host: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._opened = ExitStack()
        util: Any = ray.util  # no types
        self._url = self._opened.enter_context(opens(host or util.get_node_ip_address()))

    def where(self) -> tuple[str, int]:
        """The address of the server, and the id of this process."""
        return self._url, os.getpid()


class ServerActors:
    """Actors that all run the same server; Ray restarts those that die. A context manager.

    The actors are on the cluster of the settings, spread over its nodes, or on one started here. They end
    with this process.

    Args:
        settings: the address of the cluster, if there is one.
        opens: opens the server; called in the actor, also after a restart.
        count: number of actors.
    """

    def __init__(self, settings: Settings, opens: OpenServer, *, count: int) -> None:
        self._started = connect(settings)
        address = settings.ray_address
        # On a cluster of this machine alone, nothing else has to reach them.
        host = ADDRESS if not address or address.rpartition(":")[0] == ADDRESS else ""
        threads = max(1, (os.cpu_count() or 1) // count)
        options: dict[str, Any] = {"max_restarts": -1, "num_cpus": 0, "scheduling_strategy": "SPREAD"}
        kind: Any = ray.remote(**options)(ServerActor)
        self._actors: list[Any] = [kind.remote(opens, host, threads) for _ in range(count)]

    def where(self, n: int) -> tuple[str, int] | None:
        """Address and process id of a server; None while it starts.

        Raises:
            GuardeditError: it cannot be opened.
        """
        try:
            found: tuple[str, int] = ray.get(self._actors[n].where.remote(), timeout=_LOOK_S)
        except GetTimeoutError:
            return None
        except (ActorDiedError, ActorUnavailableError) as error:
            raise_if_constructor_failed(error)
            return None
        return found

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for actor in self._actors:
            ray.kill(actor, no_restart=True)
        if self._started:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
