"""Positions that are stable for a redelivery and different for everything else.

The inbox tells a redelivered message from a new one by (source, position). A broker hands out such ids;
a file or a list has only line numbers, and line 7 of today's file is not line 7 of yesterday's. Knows no
file and no queue.
"""

from __future__ import annotations

import hashlib

from guardedit.core.wire import split_messages


def numbered_position(place: str, raw: bytes, *, submission: str) -> str:
    """`place#tag`, where the tag is 64 bits of sha256 over the submission's name and the bytes.

    The same line handed in again under the same submission name is a redelivery, so an interrupted
    submission can be repeated. Under another submission name, or with other bytes, it is a new message.

    >>> numbered_position("facts.jsonl:7", b"{}", submission="monday")
    'facts.jsonl:7#4c6a901ed7023020'
    """
    tag = hashlib.sha256(submission.encode() + b"\0" + raw).hexdigest()[:16]
    return f"{place}#{tag}"


def placed(place: str, raw: bytes) -> list[tuple[str, bytes]]:
    """(place, message) of what came as one: itself, or the elements of a JSON array as `place[n]`, from 1.

    >>> placed("facts.jsonl:7", b'[{"id": "a"}, {}]')
    [('facts.jsonl:7[1]', b'{"id": "a"}'), ('facts.jsonl:7[2]', b'{}')]
    >>> placed("1-0", b"{}")
    [('1-0', b'{}')]
    """
    messages = split_messages(raw)
    if messages == [raw]:
        return [(place, raw)]
    return [(f"{place}[{n}]", message) for n, message in enumerate(messages, start=1)]
