"""A Ray that this process starts for itself listens on the loopback address, and nowhere else.

Ray (2.60) takes `127.0.0.1` for a mistake and listens on all interfaces, unless it is told that this machine
is to be no part of a cluster of several. It reads that from its environment when it is imported, which may be
long ago; the processes that it starts read it when they start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
