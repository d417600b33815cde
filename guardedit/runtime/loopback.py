"""A Ray that this process starts for itself listens on the loopback address, and nowhere else.

Ray (2.60) takes `127.0.0.1` for a mistake and listens on all interfaces, unless it is told that this machine
is to be no part of a cluster of several. It reads that from its environment when it is imported, which may be
long ago; the processes that it starts read it when they start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray
from ray._private import ray_constants

#: Ray's own name for it; it works on every system.
VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
ADDRESS = "127.0.0.1"


@contextmanager
def loopback_only() -> Iterator[None]:
    """Around `ray.init`: Ray's processes take the loopback address for that of this machine."""
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
    """Around `ray.init(address)`: as the cluster there was started, or it would be looked for elsewhere."""
    host, _, port = address.rpartition(":")
    mine: Any = ray.util  # no types
    if host != ADDRESS or not port.isdecimal() or _answers(mine.get_node_ip_address(), int(port)):
        return nullcontext()
    return loopback_only()


def _answers(host: str, port: int) -> bool:
    """Whether anything listens there."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((host, port)) == 0
