"""Corrections that arrive over HTTP: one, many, or as CloudEvents; all of them are stored, or none."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace

from guardedit.core.correction import (
    SIGNED,
    Correction,
    decode_correction,
    encode_correction,
    split_messages,
)
from guardedit.core.errors import MalformedCorrection
from guardedit.core.messages import Delivery
from guardedit.gateway.admin.tokens import AccessToken
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.operator.approving import HTTP


class SourceTaken(MalformedCorrection):
    """Raised when a correction claims a source that belongs to another token."""


def store(ledger: SqliteLedger, raw: bytes, *, who: AccessToken, tokens: Sequence[AccessToken]) -> list[str]:
    """Put the corrections in a body into the inbox; returns their ids, in order.

    Args:
        ledger: open for messages.
        raw: one correction, a JSON array of them, or one or many CloudEvents in JSON.
        who: the token that submits them.
        tokens: all tokens, whose sources are reserved for them.

    Raises:
        CorrectionError: one is not a correction; names its number.
        SourceTaken: one claims a source that belongs to another token.
    """
    reserved = {token.source for token in tokens if token.source}
    messages = split_messages(raw)
    found = []
    for number, message in enumerate(messages, start=1):
        try:
            found.append(_stored(_data(message), who, reserved))
        except MalformedCorrection as error:
            if len(messages) == 1:
                raise
            raise type(error)(f"correction {number}: {error}") from error
    if not found:
        raise MalformedCorrection("there is no correction in the body: send a JSON object")
    batch = uuid.uuid4().hex
    ledger.receive(
        [
            Delivery(raw=raw, source=f"{HTTP}:{who.name}", position=f"{batch}:{n}")
            for n, (raw, _) in enumerate(found)
        ]
    )
    return [correction.id for _, correction in found]


def _data(message: bytes) -> bytes:
    """The correction in a CloudEvent (version 1.0, structured mode), or the message itself.

    The event's id is the correction's unless it has one, so that an event that is sent twice counts once. A
    signed correction has its own: nothing can be added to it.
    """
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return message
    if not (isinstance(event, dict) and "specversion" in event):
        return message
    if not isinstance(event.get("data"), dict):
        raise MalformedCorrection("the `data` of a CloudEvent must be the correction, as a JSON object")
    lacks = [name for name in ("id", "source", "type") if not _is_text(event.get(name))]
    if lacks or event["specversion"] != "1.0":
        raise MalformedCorrection(
            "a CloudEvent has specversion 1.0 and the texts id, source and type: "
            f"{' and '.join(lacks) or 'specversion'} is missing or wrong"
        )
    provenance = event["data"].get("provenance")
    signed = isinstance(provenance, dict) and str(provenance.get("signature", "")).startswith(SIGNED)
    body = event["data"] if signed else {"id": event.get("id"), **event["data"]}
    return json.dumps(body).encode()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _stored(message: bytes, who: AccessToken, reserved: set[str]) -> tuple[bytes, Correction]:
    """The bytes for the inbox and the correction in them, with the source of its token.

    The bytes of a signed correction stay as they are: the signature covers the source too.
    """
    given = decode_correction(message)
    bound = _bound(given, who, reserved)
    if not given.signed:
        return encode_correction(bound), bound
    if bound != given:
        raise SourceTaken(
            f"the token {who.name!r} submits for the source {who.source!r}, which the signed correction does "
            "not name: sign it under that source"
        )
    return message, given


def _bound(correction: Correction, who: AccessToken, reserved: set[str]) -> Correction:
    """The correction with the source of its token."""
    claimed = correction.provenance.source
    if who.source:
        if claimed not in ("unknown", who.source):
            raise SourceTaken(
                f"the token {who.name!r} submits for the source {who.source!r}, not for {claimed!r:.100}"
            )
        provenance = replace(correction.provenance, source=who.source)
        return replace(correction, provenance=provenance)
    if claimed in reserved:
        raise SourceTaken(f"the source {claimed!r:.100} belongs to another token: submit with that one")
    return correction
