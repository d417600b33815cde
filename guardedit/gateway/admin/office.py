"""What the routes of the operators' interface share: the ledger, the running system, and who may do what."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from guardedit.core.errors import GuardeditError, UsageError
from guardedit.gateway.admin import rows
from guardedit.gateway.admin.tokens import AccessToken, Role, Tokens
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import changing, existing, exists
from guardedit.runtime.operator.approving import COMMAND_LINE
from guardedit.runtime.operator.facts import find_facts
from guardedit.runtime.operator.stages import read_stage
from guardedit.runtime.operator.status import ledger_status
from guardedit.runtime.system import System
from guardedit.settings import Settings

_BEARER = HTTPBearer(auto_error=False, description="A token of `guardedit tokens add`.")
#: The reader where no login is needed.
_ANYONE = AccessToken(name="anyone", role=Role.VIEWER, sha256="")
#: The user who runs the coordinator, from the command line.
_OWN = AccessToken(name=COMMAND_LINE, role=Role.ADMIN, sha256="")


class Refused(GuardeditError):
    """Raised when a token is missing, unknown, or not for this.

    Attributes:
        status: 401 or 403.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFound(UsageError):
    """Raised when a path names something that does not exist."""


class Office:
    """What the routes need: the ledger, the tokens and the running system.

    Args:
        settings: home folder.
        system: the running coordinator.
        open_to_read: whether reading needs no token; only where no other machine can reach the listener.
        own: secret of the commands of the user who runs the coordinator; they may do everything.
    """

    def __init__(
        self,
        settings: Settings,
        system: System,
        *,
        open_to_read: bool = True,
        own: str = "",
    ) -> None:
        self.settings, self.system, self.open_to_read, self.own = settings, system, open_to_read, own
        self.tokens = Tokens(settings.home)

    def allowed(self, wanted: Role, secret: str) -> AccessToken:
        """The token with this secret, if it may do this; "" is none.

        Raises:
            Refused: it may not.
        """
        if not secret:
            if wanted is Role.VIEWER and self.open_to_read:
                return _ANYONE
            raise Refused(
                401, "send a token as `Authorization: Bearer TOKEN`: `guardedit tokens add` makes one"
            )
        if self.own and hmac.compare_digest(secret.encode(), self.own.encode()):
            return _OWN
        token = self.tokens.find(secret)
        if token is None:
            raise Refused(401, "this token is unknown or revoked")
        if not token.role.may(wanted):
            raise Refused(403, f"the token {token.name!r} is for a {token.role}: this needs a {wanted}")
        return token

    @contextmanager
    def reading(self) -> Iterator[LedgerReader]:
        """The ledger, for reading."""
        if not exists(self.settings):
            raise NotFound("there is no ledger yet")
        with existing(self.settings) as ledger:
            yield ledger

    def audit(self, who: AccessToken, action: str, target: str) -> None:
        """Record who changed something."""
        with changing(self.settings) as ledger:
            ledger.audit(who.name, action, target)

    def state(self) -> rows.Row:
        """The state now."""
        now_s = time.time()
        with self.reading() as ledger:
            found, approvals = ledger_status(ledger, now_s=now_s), ledger.approvals_given()
        row = rows.status_row(found, read_stage(self.settings.home, now_s=now_s))
        policy = self.system.policy
        return row | {
            "limit": policy.guard.perplexity_ratio_to_base,
            "approvals": approvals,
            "policy_sha256": policy.sha256,
        }


def known_facts(ledger: LedgerReader, name: str) -> Sequence[Any]:
    """The facts of this id or subject; NotFound if there is none."""
    try:
        return find_facts(ledger, name)
    except UsageError as error:
        raise NotFound(str(error)) from error


def require_epoch(ledger: LedgerReader, number: int) -> None:
    """NotFound unless there is an epoch of this number."""
    try:
        ledger.epoch(number)
    except UsageError as error:
        raise NotFound(str(error)) from error


def office_of(request: Request) -> Office:
    """The office of the application that a request came to."""
    found: Office = request.app.state.office
    return found


TheOffice = Annotated[Office, Depends(office_of)]


def _needs(role: Role) -> Callable[..., AccessToken]:
    def check(
        office: TheOffice,
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> AccessToken:
        return office.allowed(role, given.credentials if given else "")

    return check


#: The token of a request that may read, submit, approve, operate, or do everything.
Viewer = Annotated[AccessToken, Depends(_needs(Role.VIEWER))]
Submitter = Annotated[AccessToken, Depends(_needs(Role.SUBMITTER))]
Admin = Annotated[AccessToken, Depends(_needs(Role.ADMIN))]
Approver = Annotated[AccessToken, Depends(_needs(Role.APPROVER))]
OperatorToken = Annotated[AccessToken, Depends(_needs(Role.OPERATOR))]
