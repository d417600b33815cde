"""Ed25519 keys: make one, keep it in a file, sign with it, and check a signature.

A key file is JSON with the name of the key, the source that it signs for, and the 32 bytes of the private key
(the seed of RFC 8032) in base64. Only its owner can read it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardedit.core.errors import MalformedCorrection, UsageError
from guardedit.core.wire import read_object, shown, text
from guardedit.signing.message import KEY_NAME, Signature, signed_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Bytes of a private and of a public key.
KEY_BYTES = 32
#: Longest key file that is read, in bytes.
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key.

    Attributes:
        name: of the key, as in the policy.
        source: whose corrections it signs.
        seed: the private key, 32 bytes; not in the repr.
    """

    name: str
    source: str
    seed: bytes = field(repr=False)

    @property
    def public(self) -> str:
        """The public key in base64, as the policy has it."""
        return base64.b64encode(self._private().public_key().public_bytes_raw()).decode()

    def sign(self, body: Mapping[str, Any]) -> Signature:
        """The signature of a message, given as parsed JSON."""
        return Signature(self.name, self._private().sign(signed_bytes(body)))

    def _private(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)


def require_signing() -> None:
    """UsageError unless the packages are installed that signatures need."""
    try:
        import cryptography
        import rfc8785
    except ModuleNotFoundError as error:
        raise UsageError(
            f"signatures need the package {error.name}: pip install 'guardedit[signing]'"
        ) from None
    del cryptography, rfc8785


def new_key(name: str, source: str) -> SigningKey:
    """A new private key from the system's random numbers.

    Raises:
        UsageError: the name of the key or of the source is not allowed, or a package is missing.
    """
    require_signing()
    if not re.fullmatch(KEY_NAME, name):
        raise UsageError(f"{name!r:.100} is no name of a key: use a-z, 0-9, dots and dashes, at most 64")
    try:
        source = text("the source", source)
    except MalformedCorrection as error:
        raise UsageError(str(error)) from None
    return SigningKey(name=name, source=source, seed=os.urandom(KEY_BYTES))


def write_key(key: SigningKey, path: Path) -> None:
    """Write a key file that only this user can read. A file that exists is not replaced.

    Raises:
        UsageError: it exists, or cannot be written.
    """
    body = {"name": key.name, "source": key.source, "ed25519": base64.b64encode(key.seed).decode()}
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(body, indent=1) + "\n")
        except OSError:
            path.unlink()  # a part of a key would be in the way of the next attempt
            raise
    except FileExistsError:
        raise UsageError(
            f"{path} exists: a key that is overwritten is lost, so name another file with --file"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): name another file with --file"
        ) from error


def read_key(path: Path) -> SigningKey:
    """The key in a file of `write_key`.

    Raises:
        UsageError: it cannot be read, is no key file, or others can read it; or a package is missing.
    """
    require_signing()
    try:
        with path.open("rb") as file:
            raw, mode = file.read(_MOST_BYTES), os.fstat(file.fileno()).st_mode
        body = read_object(raw)
        seed = base64.b64decode(str(body["ed25519"]), validate=True)
        key = SigningKey(name=str(body["name"]), source=str(body["source"]), seed=seed)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): give a file of `guardedit keys new`"
        ) from error
    except (MalformedCorrection, binascii.Error, ValueError, KeyError) as error:
        raise UsageError(f"{path} is no key file: make one with `guardedit keys new`") from error
    if len(seed) != KEY_BYTES or not re.fullmatch(KEY_NAME, key.name):
        raise UsageError(f"{path} is no key file: make one with `guardedit keys new`")
    if mode & 0o077:
        raise UsageError(f"others can read {path}: `chmod 600 {path}`, and use a new key if they may have")
    return key


def sign_message(raw: bytes, key: SigningKey, *, default_id: str) -> bytes:
    """The message with a signature, and with the key's source.

    Args:
        raw: one JSON object.
        key: signs.
        default_id: the id for a correction without one. A signed correction needs an id of its own, so that
            a copy that is sent again counts as a duplicate for all time.

    Raises:
        MalformedCorrection: it is no JSON object, or names another source.
    """
    body = read_object(raw)
    provenance = body.get("provenance") or {}
    if not isinstance(provenance, dict):
        raise MalformedCorrection(f"provenance must be an object, got {shown(provenance)}")
    claimed = provenance.get("source") or key.source
    if claimed != key.source:
        raise MalformedCorrection(
            f"the key {key.name} signs for the source {key.source!r}, the correction names {shown(claimed)}: "
            "sign it with a key of that source"
        )
    body = {**body, "id": body.get("id") or default_id, "provenance": {**provenance, "source": key.source}}
    body["provenance"]["signature"] = str(key.sign(body))
    return json.dumps(body, ensure_ascii=False).encode()


def holds(signature: Signature, body: Mapping[str, Any], public: bytes) -> bool:
    """Whether the owner of the public key (32 bytes) made this signature of the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    message = signed_bytes(body)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature.value, message)
    except (InvalidSignature, ValueError):
        return False
    return True
