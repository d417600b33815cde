"""The approvals of held corrections: how many the policy's rule asked for, and who has given one.

What is needed was recorded with the decision that holds the correction. An approval is for one content, by
its digest, and for one holding: after the correction was decided again, earlier approvals no longer count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from guardedit.core.ledger import EventKind
from guardedit.ledger.storage.database import Database, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's approval. Times are seconds since 1970, UTC; `expires_at_s` None: it does not expire."""

    by: str
    at_s: float
    expires_at_s: float | None

    def counts(self, now_s: float) -> bool:
        """Whether it has not expired."""
        return self.expires_at_s is None or now_s < self.expires_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """The approvals of one held correction at one time.

    Attributes:
        needed: how many different persons have to approve.
        approvers: whose approval counts; empty: everybody's.
        ttl_s: how long an approval counts, in seconds; None: without end.
        content_sha256: digest of the content that is approved (`core.correction.content_sha256`).
        rule: id of the rule that holds it; "" where that is not recorded.
        given: the approvals that count now, the latest of each person, oldest first.
    """

    needed: int
    approvers: tuple[str, ...]
    ttl_s: float | None
    content_sha256: str
    rule: str = ""
    given: tuple[Approval, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """Who has approved."""
        return tuple(one.by for one in self.given)

    @property
    def missing(self) -> int:
        """How many approvals are missing."""
        return max(0, self.needed - len(self.given))

    @property
    def expires_at_s(self) -> float | None:
        """When the first of them expires; None: never."""
        return min((one.expires_at_s for one in self.given if one.expires_at_s is not None), default=None)

    def __str__(self) -> str:
        """For people.

        >>> one = Approval(by="anna", at_s=1.0, expires_at_s=None)
        >>> str(Approvals(needed=2, approvers=(), ttl_s=None, content_sha256="", given=(one,)))
        '1 of 2 approved (by anna)'
        """
        by = f" (by {', '.join(self.by)})" if self.given else ""
        return f"{len(self.given)} of {self.needed} approved{by}"


def approvals(database: Database, seq: int, *, now_s: float) -> Approvals:
    """The approvals of the held correction in inbox row `seq` that count at `now_s`."""
    held = database.row(
        "SELECT event_seq, body FROM decisions WHERE inbox_seq = ? ORDER BY event_seq DESC LIMIT 1", (seq,)
    )
    content = database.row("SELECT content_sha256 FROM inbox WHERE seq = ?", (seq,))
    since, made = (held[0], read_json(held[1]) if held[1] else {}) if held else (0, {})
    needed = Approvals(
        # Decisions of earlier versions say nothing about approvals: one was enough.
        needed=made.get("approvals", 1),
        approvers=tuple(made.get("approvers", ())),
        ttl_s=made.get("approval_ttl_s"),
        content_sha256=(content[0] if content else None) or "",
        rule=made.get("rule", ""),
    )
    rows = database.rows(
        "SELECT at_s, body FROM events WHERE kind = ? AND seq > ? AND json_extract(body, '$.seq') = ?"
        " ORDER BY seq",
        (EventKind.APPROVED, since, seq),
    )
    latest: dict[str, Approval] = {}
    for at_s, text in rows:
        body = read_json(text)
        if body["content_sha256"] == needed.content_sha256:
            latest.pop(body["by"], None)
            latest[body["by"]] = Approval(by=body["by"], at_s=at_s, expires_at_s=body["expires_at_s"])
    return replace(
        needed,
        given=tuple(
            one
            for one in latest.values()
            if one.counts(now_s) and (not needed.approvers or one.by in needed.approvers)
        ),
    )


def count(database: Database) -> int:
    """How many approvals were ever given."""
    row = database.row("SELECT count(*) FROM events WHERE kind = ?", (EventKind.APPROVED,))
    return int(row[0]) if row else 0
