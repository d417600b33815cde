"""Named places where a test may kill the process, as etcd's gofail does.

`GUARDEDIT_FAILPOINT=ledger.commit.before:3` sends SIGKILL to this process the third time it comes by.
Unset, which is always so outside tests, a failpoint costs one dictionary lookup.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_seen: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("GUARDEDIT_FAILPOINT")
    if not wanted:
        return
    point, _, nth = wanted.partition(":")
    if point == name:
        _seen[name] += 1
        if _seen[name] >= int(nth or 1):
            os.kill(os.getpid(), signal.SIGKILL)
