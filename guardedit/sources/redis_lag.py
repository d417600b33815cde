"""Reads how far a consumer group is behind, as reported by the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardedit.core.messages import Lag

if TYPE_CHECKING:
    import redis

_NAN = float("nan")


def read_lag(client: redis.Redis, stream: str, group: str) -> Lag:
    """Number of entries not acknowledged, read or not, and the age of the oldest.

    `waiting` is NaN if the group does not exist or the server does not know the number. It loses count when
    entries are deleted from the middle, and versions before 7 do not count. `oldest_s` is computed from ids
    that the server made by its clock; NaN when nothing waits.
    """
    import redis

    try:
        groups: Any = client.xinfo_groups(stream)
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        groups = []
    state = next((g for g in groups if g["name"] == group.encode()), None)
    if state is None:
        return Lag(waiting=_NAN, oldest_s=_NAN)
    unread = state.get("lag")
    waiting = _NAN if unread is None else float(unread + state["pending"])
    oldest = _oldest_id(client, stream, group, state["last-delivered-id"])
    return Lag(waiting=waiting, oldest_s=_NAN if oldest is None else _age_s(client, oldest))


def _oldest_id(client: redis.Redis, stream: str, group: str, last_delivered: bytes) -> bytes | None:
    # Pending entries are older than entries that were never read.
    pending: Any = client.xpending(stream, group)
    if pending["min"] is not None:
        return bytes(pending["min"])
    unread: Any = client.xrange(stream, min=b"(" + last_delivered, count=1)
    return bytes(unread[0][0]) if unread else None


def _age_s(client: redis.Redis, entry_id: bytes) -> float:
    now: Any = client.time()
    made_s = int(entry_id.split(b"-")[0]) / 1000
    return max(0.0, float(now[0] + now[1] / 1e6 - made_s))
