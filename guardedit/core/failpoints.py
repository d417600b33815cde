"""Named points where a test can kill the process, like etcd's gofail.

`GUARDEDIT_FAILPOINT=ledger.commit.before:3` sends SIGKILL to this process the third time it reaches that
point. The variable is set only by tests. Without it, a failpoint costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_seen: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kill this process here if the environment asks for it."""
    wanted = os.environ.get("GUARDEDIT_FAILPOINT")
    if not wanted:
        return
    point, _, nth = wanted.partition(":")
    if point == name:
        _seen[name] += 1
        if _seen[name] >= int(nth or 1):
            os.kill(os.getpid(), signal.SIGKILL)
