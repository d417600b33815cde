"""Makes a Ray cluster that this process starts listen on the loopback address only.

Ray (2.60) treats `127.0.0.1` as a mistake and listens on all interfaces, unless multi-node clusters are
disabled for this machine. Ray reads that setting from the environment when it is imported, which may already
have happened. The processes that Ray starts read it when they start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray
from ray._private import ray_constants

#: Ray's name of the setting. In spite of the name it has an effect on every system.
VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
ADDRESS = "127.0.0.1"


@contextmanager
def loopback_only() -> Iterator[None]:
    """A context for `ray.init`: Ray's processes use the loopback address as this machine's address."""
    before, variable = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(VARIABLE)
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        os.environ.pop(VARIABLE)
        if variable is not None:
            os.environ[VARIABLE] = variable


def joining(address: str) -> AbstractContextManager[None]:
    """A context for `ray.init(address)`: `loopback_only` if the cluster there was started with it.

    Without it Ray would look for such a cluster at another address of this machine.
    """
    host, _, port = address.rpartition(":")
    util: Any = ray.util  # no types
    if host != ADDRESS or not port.isdecimal() or _is_listening(util.get_node_ip_address(), int(port)):
        return nullcontext()
    return loopback_only()


def _is_listening(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((host, port)) == 0
