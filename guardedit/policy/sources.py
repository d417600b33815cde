"""The sources that have to sign their corrections, and the check of a signature against their keys.

The check depends on the message, on the policy and on the time at which the message was received, which the
ledger has recorded: decided again later, the answer is the same.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from guardedit.core.correction import Correction
from guardedit.core.errors import MalformedCorrection, SignatureRefused
from guardedit.core.wire import read_object, shown, text, time_s
from guardedit.naming import identity
from guardedit.policy.strict import StrictModel, as_tuple
from guardedit.signing.keys import KEY_BYTES, holds
from guardedit.signing.message import KEY_NAME, read_signature


def _public(value: str) -> str:
    try:
        found = len(base64.b64decode(value, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        found = False
    if not found:
        raise PydanticCustomError(
            "public_key", "no Ed25519 key: give 32 bytes in base64, as `guardedit keys new` prints"
        )
    return value


def _moment(value: object) -> object:
    try:
        return time_s("the time", value)
    except MalformedCorrection as error:
        raise PydanticCustomError("as_in_message", "{why}", {"why": str(error)}) from None


def _source(value: str) -> str:
    """The name as the decoder of messages gives it, so that the two can be equal."""
    try:
        return text("the name", value)
    except MalformedCorrection as error:
        raise PydanticCustomError("as_in_message", "{why}", {"why": str(error)}) from None


Moment = Annotated[float | None, BeforeValidator(_moment)]


class SourceKey(StrictModel):
    """A public key of a source. Rotate by adding the next key, and end the old one with `not_after`."""

    id: Annotated[str, Field(pattern=f"^{KEY_NAME}$")] = Field(
        description="Name of the key, as in signatures."
    )
    ed25519: Annotated[str, AfterValidator(_public)] = Field(
        description="The public key, 32 bytes in base64; `guardedit keys new` prints it."
    )
    not_before: Moment = Field(
        None, description="Corrections received earlier are refused. RFC 3339, or seconds since 1970."
    )
    not_after: Moment = Field(
        None,
        description="Corrections received at this time or later are refused. Written as not_before.",
    )
    revoked: bool = Field(
        default=False,
        description="Whether everything that it signed is refused from now on, whenever it was received. "
        "`guardedit facts undo --source` takes back what it wrote.",
    )

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        start, end = self.not_before, self.not_after
        if start is not None and end is not None and end <= start:
            raise PydanticCustomError(
                "key_times",
                "not_after of the key '{id}' is not later than its not_before: swap them",
                {"id": self.id},
            )
        return self


class SourceSection(StrictModel):
    """A source that signs. Only corrections that one of its keys signed are accepted under its name."""

    name: Annotated[str, AfterValidator(_source)] = Field(
        description="The source, as `provenance.source` names it. Other spellings of it are refused."
    )
    keys: Annotated[tuple[SourceKey, ...], Field(min_length=1, max_length=50), BeforeValidator(as_tuple)] = (
        Field(description="Its keys; any of them may sign.")
    )

    @model_validator(mode="after")
    def _keys_are_distinct(self) -> Self:
        ids = [key.id for key in self.keys]
        if repeated := next((one for one in ids if ids.count(one) > 1), None):
            raise PydanticCustomError(
                "repeated_key", "the source has two keys '{id}': name each key once", {"id": repeated}
            )
        return self


def _distinct(sources: tuple[SourceSection, ...]) -> tuple[SourceSection, ...]:
    """The sources, if no two names differ only in case, width or typography."""
    seen: dict[str, str] = {}
    for source in sources:
        name = identity(source.name)
        if name in seen:
            raise PydanticCustomError(
                "same_source",
                "the sources '{one}' and '{other}' are one name: list its keys together",
                {"one": seen[name], "other": source.name},
            )
        seen[name] = source.name
    return sources


Sources = Annotated[
    tuple[SourceSection, ...], Field(max_length=200), BeforeValidator(as_tuple), AfterValidator(_distinct)
]


def signer(sources: Sources, raw: bytes, correction: Correction, *, received_at_s: float) -> str:
    """The id of the key that signed a correction; "" where its source has no keys.

    Args:
        sources: the policy's sources with keys.
        raw: the message.
        correction: decoded from it.
        received_at_s: when it was received, seconds since 1970, UTC.

    Raises:
        SignatureRefused: its source signs, and this correction has no valid signature of one of its keys.
    """
    claimed = correction.provenance.source
    name = identity(claimed)
    source = next((one for one in sources if identity(one.name) == name), None)
    if source is None:
        return ""
    if claimed != source.name:
        raise SignatureRefused(
            f"the source {shown(claimed)} is another spelling of {source.name!r}, which signs its "
            "corrections: sign it under that name, or use another one"
        )
    if not correction.provenance.signature:
        raise SignatureRefused(
            f"the source {source.name!r} signs its corrections and this one has no signature: send it with "
            "`guardedit submit --sign KEYFILE`, or under another source"
        )
    signature = read_signature(correction.provenance.signature)
    key = next((one for one in source.keys if one.id == signature.key), None)
    if key is None:
        raise SignatureRefused(
            f"the source {source.name!r} has no key {signature.key!r}: sign with "
            f"{_ids(source)}, or add the key to the policy and retry the dead letter"
        )
    if why := _why_not(key, received_at_s):
        raise SignatureRefused(
            f"the key {key.id!r} of the source {source.name!r} {why}: sign with a valid key and send it again"
        )
    body = read_object(raw)
    if not body.get("id"):
        raise SignatureRefused(
            f"signed by key {key.id!r} of the source {source.name!r}, but without an id, so that a copy "
            "could be sent again later: sign it with an id"
        )
    if not holds(signature, body, base64.b64decode(key.ed25519)):
        raise SignatureRefused(
            f"the signature does not hold: the key {key.id!r} of the source {source.name!r} did not sign "
            "this content. Either it was changed on its way, or another private key was used: sign it again"
        )
    return key.id


def _ids(source: SourceSection) -> str:
    return " or ".join(key.id for key in source.keys)


def _why_not(key: SourceKey, received_at_s: float) -> str:
    """Why the key does not count for a correction received at this time; "" if it does."""
    if key.revoked:
        return "is revoked"
    if key.not_before is not None and received_at_s < key.not_before:
        return f"is not valid yet: its not_before is {key.not_before - received_at_s:.0f} s after the receipt"
    if key.not_after is not None and received_at_s >= key.not_after:
        return f"has expired: its not_after is {received_at_s - key.not_after:.0f} s before the receipt"
    return ""
