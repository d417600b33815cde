"""Approve held corrections: who may, and what is still missing."""

from __future__ import annotations

from guardedit.core.errors import UsageError
from guardedit.core.messages import Fate
from guardedit.ledger.approvals import Approvals
from guardedit.ledger.inbox import Entry
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger

#: The source that the inbox records for messages over HTTP, before the name of the token.
HTTP = "http"
#: The name of the user of the command line, who has no token.
COMMAND_LINE = "command-line"
#: Sources of the inbox that this user writes to.
_OWN_SOURCES = frozenset({"submit", "api", "file"})


class NotAllowed(UsageError):
    """Raised when this person's approval of this correction does not count."""


def held_entry(ledger: LedgerReader, correction: str) -> Entry | None:
    """The inbox row of a held correction; None when it is not held."""
    held = ledger.entries(Fate.HELD, limit=-1)
    return next((one for one in held if one.correction_id == correction), None)


def approve(ledger: SqliteLedger, correction: str, *, by: str, content_sha256: str = "") -> Approvals:
    """Record an approval. With the last one that is needed, the correction is released to be decided again.

    Args:
        ledger: open for messages.
        correction: the id of a held correction.
        by: the name of the person.
        content_sha256: digest of the content that the person has seen; "" for whatever is held.

    Raises:
        ConflictError: another content is held under this id.
        NotAllowed: the person submitted it, or is not among the rule's approvers.
        UsageError: the correction is not held.
    """
    entry = held_entry(ledger, correction)
    if entry is not None:
        refuse_approver(ledger.approvals(entry.seq), entry, by)
    return ledger.approve(correction, by=by, content_sha256=content_sha256)


def refuse_approver(found: Approvals, entry: Entry, by: str) -> None:
    """Raise NotAllowed if this person cannot approve this correction."""
    if found.approvers and by not in found.approvers:
        raise NotAllowed(
            f"{by!r} is not an approver of this correction: its rule names {', '.join(found.approvers)}"
        )
    # One person at one desk, who submits on the command line and approves there, is no second person.
    own = by == COMMAND_LINE and entry.source in _OWN_SOURCES and found.needed > 1
    if own or entry.source == f"{HTTP}:{by}":
        raise NotAllowed(f"{by!r} submitted this correction: another person has to approve it")
