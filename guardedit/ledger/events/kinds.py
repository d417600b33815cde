"""The ledger's own events, one class for each kind.

The ledger's writers encode them, the projection decodes them. The keys of event bodies are spelled only
here and in `records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self

from guardedit.core.ledger import EventKind
from guardedit.ledger.events.records import ChangeRecord, EditRecord, RememberedEdit

#: Kinds that the tables follow from. `SqliteLedger.note` refuses them.
RESERVED: Final = frozenset(
    {
        EventKind.RECEIVED,
        EventKind.SETTLED,
        EventKind.RELEASED,
        EventKind.RETRIED,
        EventKind.DROPPED,
        EventKind.EPOCH,
        EventKind.REF,
        EventKind.EDITS,
        EventKind.PUBLISHED,
        EventKind.ACTIVATED,
        EventKind.PUBLISH_PROBLEM,
    }
)

#: Triggers that the reason of a rollback may begin with, followed by a colon.
TRIGGERS: Final = frozenset({"drift", "manual"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBody:
    """A body whose JSON keys are the names of its fields."""

    event_kind: ClassVar[EventKind]

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON data."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; KeyError where a key is missing. Other keys are ignored."""
        return cls(**{item.name: body[item.name] for item in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent(EventBody):
    """A delivery became inbox row `seq`; its bytes are in `messages`."""

    event_kind = EventKind.RECEIVED

    seq: int
    source: str
    position: str
    raw_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEvent(EventBody):
    """Inbox row `seq` got its fate.

    `decision` is a `core.decision.Decision` with its trace; None where the policy was not consulted. `epoch`
    is the epoch that the settlement made, if any.
    """

    event_kind = EventKind.SETTLED

    seq: int
    fate: str
    reason: str
    correction_id: str | None
    content_sha256: str | None
    decision: Mapping[str, Any] | None
    reach: list[str]
    epoch: int | None = None

    @property
    def decision_labels(self) -> tuple[str, str, str, str]:
        """Route, rule, method and policy digest of the decision; empty texts without one."""
        made = self.decision
        return (
            (made["route"], made["rule"], made["method"], made["policy_sha256"]) if made else ("", "", "", "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedEvent(EventBody):
    """The held correction in inbox row `seq` is to be decided again."""

    event_kind = EventKind.RELEASED

    seq: int
    correction_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedEvent(EventBody):
    """A person approved the held correction in inbox row `seq`, for this content. No table follows from it.

    `expires_at_s` is in seconds since 1970, UTC; None: the approval does not expire.
    """

    event_kind = EventKind.APPROVED

    seq: int
    correction_id: str
    content_sha256: str
    by: str
    expires_at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetriedEvent(EventBody):
    """The dead letter in inbox row `seq` is to be read again."""

    event_kind = EventKind.RETRIED

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedEvent(EventBody):
    """The dead letter in inbox row `seq` is no longer listed."""

    event_kind = EventKind.DROPPED

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FactReleasedEvent(EventBody):
    """These facts, by id, may be promoted again. No table follows from it."""

    event_kind = EventKind.FACT_RELEASED

    facts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvent(EventBody):
    """A replica of a destination reached a phase with what was made for an epoch.

    `replica` is "" where the destination has no replicas. Phases: `preparing` is written before anything is
    sent, then `prepared` and `confirmed`. After `lost` and `retired` the replica no longer has it.
    """

    event_kind = EventKind.PUBLISHED

    destination: str
    replica: str
    name: str
    epoch: int
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivatedEvent(EventBody):
    """A destination answers from `epoch` from now on, by what it has under `name`; "" when it was closed."""

    event_kind = EventKind.ACTIVATED

    destination: str
    name: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishProblemEvent(EventBody):
    """What keeps a replica of a destination from going on; "" when that is over."""

    event_kind = EventKind.PUBLISH_PROBLEM

    destination: str
    replica: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefEvent(EventBody):
    """A ref moved from one epoch (None: it did not exist) to another."""

    event_kind = EventKind.REF

    name: str
    moved_from: int | None
    to: int

    def to_json(self) -> dict[str, Any]:
        """The body; `from` is a keyword in Python."""
        return {"name": self.name, "from": self.moved_from, "to": self.to}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(name=body["name"], moved_from=body["from"], to=body["to"])


@dataclass(frozen=True, slots=True, kw_only=True)
class EditsEvent(EventBody):
    """Weight edits were made and are kept for reuse."""

    event_kind = EventKind.EDITS

    made: list[RememberedEdit]

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON data."""
        return {"made": [{**one._asdict(), "edit": one.edit.to_json()} for one in self.made]}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            made=[
                RememberedEdit(one["content_key"], one["group_key"], EditRecord.from_json(one["edit"]))
                for one in body["made"]
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEvent(EventBody):
    """A new serving epoch.

    Attributes:
        number, kind, reason, base_sha256, policy_sha256, weights_sha256, state_sha256: as in `Epoch`.
        changes: changed facts, in order.
        edits_added: edits that became live, or live with other facts.
        edits_removed: digests of edits that are no longer live.
        refs: ref -> the epoch that it points to from now on.
        verdict: the verdict of the trial that the epoch passed, as recorded; None without a trial.
    """

    event_kind = EventKind.EPOCH

    number: int
    kind: str
    reason: str
    base_sha256: str
    policy_sha256: str
    weights_sha256: str
    state_sha256: str
    changes: list[ChangeRecord]
    edits_added: list[EditRecord]
    edits_removed: list[str]
    refs: Mapping[str, int]
    verdict: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON data."""
        return {
            **EventBody.to_json(self),
            "changes": [change.to_json() for change in self.changes],
            "edits_added": [edit.to_json() for edit in self.edits_added],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        decoded = {
            **body,
            "changes": [ChangeRecord.from_json(change) for change in body["changes"]],
            "edits_added": [EditRecord.from_json(edit) for edit in body["edits_added"]],
        }
        return cls(**{item.name: decoded[item.name] for item in fields(cls)})

    @property
    def rollback_trigger(self) -> str | None:
        """The trigger that the reason of a rollback begins with, else `manual`; None for other epochs."""
        if self.kind != "rollback":
            return None
        trigger = self.reason.partition(":")[0]
        return trigger if trigger in TRIGGERS else "manual"
