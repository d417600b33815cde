"""The bytes of a message that are signed, and the signature in it.

What is signed is the JSON object without its signature, in the canonical form of RFC 8785 (JSON
Canonicalization Scheme), inside the pre-authentication encoding of DSSE
(https://github.com/secure-systems-lab/dsse/blob/master/protocol.md). So spacing, the order of keys, the
spelling of numbers and escapes do not matter, and a signature of something else never fits a correction.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from guardedit.core.correction import SIGNED
from guardedit.core.errors import SignatureRefused
from guardedit.core.wire import shown

#: The type of what is signed, part of the signed bytes.
PAYLOAD_TYPE = b"application/vnd.guardedit.correction+json"
#: Name of a key: in the policy, in signatures and in key files.
KEY_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
#: Bytes of an Ed25519 signature.
SIGNATURE_BYTES = 64

_SIGNATURE = re.compile(rf"{SIGNED}({KEY_NAME}):([A-Za-z0-9+/]{{86}}==)")


class Signature(NamedTuple):
    """The name of a key, and what it made of the message."""

    key: str
    value: bytes

    def __str__(self) -> str:
        """As it stands in `provenance.signature`."""
        return f"{SIGNED}{self.key}:{base64.b64encode(self.value).decode()}"


def read_signature(text: str) -> Signature:
    """The signature in `provenance.signature`.

    Raises:
        SignatureRefused: the text has another form.
    """
    found = _SIGNATURE.fullmatch(text)
    try:
        value = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        value = b""
    if found is None or len(value) != SIGNATURE_BYTES:
        raise SignatureRefused(
            f"provenance.signature is {shown(text)}: it must be {SIGNED}KEY:BASE64 with the name of a key "
            f"and {SIGNATURE_BYTES} bytes, as `guardedit submit --sign` writes it"
        )
    return Signature(found[1], value)


def signed_bytes(body: Mapping[str, Any]) -> bytes:
    """The bytes that are signed.

    Args:
        body: the message as parsed JSON. Its signature, if it has one, is left out.

    Raises:
        SignatureRefused: the message has no canonical form, as with a number that no double holds.
    """
    import rfc8785

    content = dict(body)
    if isinstance(provenance := content.get("provenance"), dict):
        content["provenance"] = {name: one for name, one in provenance.items() if name != "signature"}
    try:
        canonical = rfc8785.dumps(content)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise SignatureRefused(
            f"the message has no canonical form (RFC 8785), so it cannot be signed: {error}"
        ) from error
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(canonical), canonical)
