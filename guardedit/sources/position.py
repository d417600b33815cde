"""Makes the positions of messages: equal for a redelivery, different for every other message.

The inbox recognises a redelivered message by source, position and bytes. A broker assigns unique ids. A file
or a list has only line numbers, and line 7 of today's file is not line 7 of yesterday's.
"""

from __future__ import annotations

import hashlib

from guardedit.core.wire import split_messages


def numbered_position(place: str, raw: bytes, *, submission: str) -> str:
    """`place#tag`; the tag is 64 bits of a sha256 of the submission's name and the bytes.

    The same line submitted again under the same submission name is a redelivery, so an interrupted
    submission can be repeated. Under another submission name, or with other bytes, it is a new message.

    >>> numbered_position("facts.jsonl:7", b"{}", submission="monday")
    'facts.jsonl:7#4c6a901ed7023020'
    """
    tag = hashlib.sha256(submission.encode() + b"\0" + raw).hexdigest()[:16]
    return f"{place}#{tag}"


def positioned_messages(place: str, raw: bytes) -> list[tuple[str, bytes]]:
    """(position, message) pairs in one entry: the entry itself, or the elements of a JSON array, from 1.

    >>> positioned_messages("facts.jsonl:7", b'[{"id": "a"}, {}]')
    [('facts.jsonl:7[1]', b'{"id": "a"}'), ('facts.jsonl:7[2]', b'{}')]
    >>> positioned_messages("1-0", b"{}")
    [('1-0', b'{}')]
    """
    messages = split_messages(raw)
    if messages == [raw]:
        return [(place, raw)]
    return [(f"{place}[{n}]", message) for n, message in enumerate(messages, start=1)]
