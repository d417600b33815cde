"""Extracts the message of a stream entry, as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: Fields that may hold the message, in order of preference.
BODY_FIELDS = (b"correction", b"data", b"body")

#: The message of an entry that was deleted or trimmed while it was pending. It is not a valid correction.
LOST = b'{"lost": "the entry was deleted from the stream while it was pending"}'


def message_body(fields: Mapping[bytes, bytes] | None) -> bytes:
    """The message in the fields of an entry, unchanged.

    Without a field of a known name, the message is the JSON of all fields, with bytes that are not UTF-8 as
    lone surrogates. Without any field it is `LOST`. Neither is a correction, so both become dead letters,
    unless the fields have the names of a correction's fields.

    >>> message_body({b"trace": b"7", b"data": b"{}"})
    b'{}'
    >>> message_body({b"text": b"Paris"})
    b'{"text": "Paris"}'
    """
    if not fields:
        return LOST
    for name in BODY_FIELDS:
        if name in fields:
            return fields[name]
    return json.dumps({_text(name): _text(value) for name, value in fields.items()}).encode()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
