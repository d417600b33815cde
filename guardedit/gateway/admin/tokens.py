"""Who may do what: bearer tokens with roles. Only digests of the tokens are stored.

The tokens have 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from guardedit.core.durable import replace_file
from guardedit.core.errors import UsageError
from guardedit.runtime.operator.approving import COMMAND_LINE

#: The file in the home folder.
TOKENS = "tokens.json"
#: Names in the audit record of people without a token.
RESERVED = frozenset({COMMAND_LINE, "anyone"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PREFIX = "gde_"


class Role(StrEnum):
    """What a token is for. Every role may read."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, wanted: Role) -> bool:
        """Whether this role includes another: an admin may do everything, the others have their own task."""
        return self in (wanted, Role.ADMIN) or wanted is Role.VIEWER


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """One token.

    Attributes:
        name: of the person or program, for the audit record.
        role: what it may do.
        sha256: digest of the secret.
        source: corrections that are submitted with it have this source, whatever they say; "" for no rule.
        created_at_s: seconds since 1970, UTC.
    """

    name: str
    role: Role
    sha256: str
    source: str = ""
    created_at_s: float = 0.0


class Tokens:
    """The tokens of one home folder. The file is read at every use, so that a revoked token ends at once."""

    def __init__(self, home: Path) -> None:
        self._path = home / TOKENS

    def all(self) -> list[AccessToken]:
        """All tokens, by name.

        Raises:
            UsageError: the file is damaged. Then no token is valid.
        """
        try:
            rows = json.loads(self._path.read_text("utf-8"))
            return [AccessToken(**{**row, "role": Role(row["role"])}) for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{self._path} cannot be read ({error}): remove it and add the tokens again"
            ) from error

    def find(self, secret: str) -> AccessToken | None:
        """The token with this secret; None where there is none. Takes the same time for any secret."""
        digest, found = _digest(secret), None
        for token in self.all():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def add(self, name: str, role: Role, *, source: str = "", at_s: float) -> str:
        """Make a token; returns its secret, which is not stored.

        Raises:
            UsageError: the name is not allowed or taken.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r:.100} is no name of a token: use a-z, 0-9, dots and dashes, at most 64"
            )
        if name in RESERVED:
            raise UsageError(
                f"{name!r} is no name of a token, since it has another meaning: use another name"
            )
        tokens = self.all()
        if any(token.name == name for token in tokens):
            raise UsageError(f"there is a token {name!r} already: revoke it first, or use another name")
        secret = _PREFIX + secrets.token_urlsafe(32)
        made = AccessToken(name=name, role=role, sha256=_digest(secret), source=source, created_at_s=at_s)
        self._write([*tokens, made])
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token.

        Raises:
            UsageError: there is none of this name.
        """
        tokens = self.all()
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            known = ", ".join(token.name for token in tokens) or "none"
            raise UsageError(f"there is no token {name!r:.100}: known are {known}")
        self._write(left)

    def _write(self, tokens: list[AccessToken]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        body = json.dumps([asdict(token) for token in sorted(tokens, key=lambda one: one.name)], indent=1)
        replace_file(self._path, body.encode() + b"\n", step="tokens")
        self._path.chmod(0o600)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
