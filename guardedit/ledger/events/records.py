"""Typed records for the nested parts of event bodies: changes, weight edits and verdicts.

Facts, diagnostics and verdicts are also kept as the plain JSON data that was recorded, since the tables store
exactly that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from guardedit.core.fact import FactKey
from guardedit.core.proposal import WeightEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """One change of a fact within an epoch.

    Attributes:
        key: the fact's key.
        names: subject, relation and, where the key has one, target as `naming.identity` folded them when the
            change was made. Recorded, because another version may fold names differently.
        correction_id: the correction that requested it; "" for none.
        reported_at_s: the source's own time for it; None where it gave none.
        fact_id: id of the new fact; None where the key has no fact any more.
        fact: the new fact as recorded; None as above.
    """

    key: FactKey
    names: tuple[str, ...]
    correction_id: str
    reported_at_s: float | None
    fact_id: str | None
    fact: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "key": self.key.to_json(),
            "names": list(self.names),
            "correction_id": self.correction_id,
            "reported_at_s": self.reported_at_s,
            "fact_id": self.fact_id,
            "fact": self.fact,
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> ChangeRecord:
        """Inverse of `to_json`."""
        return ChangeRecord(
            key=FactKey(*body["key"]),
            names=tuple(body["names"]),
            correction_id=body["correction_id"],
            reported_at_s=body["reported_at_s"],
            fact_id=body["fact_id"],
            fact=body["fact"],
        )

    @property
    def version(self) -> int | None:
        """The new fact's version."""
        return self.fact["version"] if self.fact else None

    @property
    def placement(self) -> str | None:
        """The new fact's placement."""
        return self.fact["placement"] if self.fact else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRecord:
    """A weight edit without its payload, which is the blob `digest`."""

    digest: str
    facts: tuple[str, ...]
    subject: str
    method: str
    diagnostics: Mapping[str, float]

    @staticmethod
    def of(edit: WeightEdit) -> EditRecord:
        """The record of an edit."""
        return EditRecord(
            digest=edit.digest,
            facts=tuple(edit.facts),
            subject=edit.subject,
            method=edit.method,
            diagnostics=edit.diagnostics,
        )

    @property
    def facts_json(self) -> str:
        """The fact ids as the tables and `State.edits` hold them."""
        return json.dumps(list(self.facts))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "digest": self.digest,
            "facts": list(self.facts),
            "subject": self.subject,
            "method": self.method,
            "diagnostics": dict(self.diagnostics),
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> EditRecord:
        """Inverse of `to_json`."""
        return EditRecord(
            digest=body["digest"],
            facts=tuple(body["facts"]),
            subject=body["subject"],
            method=body["method"],
            diagnostics=body["diagnostics"],
        )


class RememberedEdit(NamedTuple):
    """An edit that is kept for reuse, under the keys of `SqliteLedger.remember_edits`."""

    content_key: str
    group_key: str
    edit: EditRecord


class GateRecord(NamedTuple):
    """One gate of a recorded verdict."""

    name: str
    outcome: str
    value: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """A verdict as recorded, and the parts of it that have columns."""

    outcome: str
    gates: tuple[GateRecord, ...]
    recorded: Mapping[str, Any]

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> VerdictRecord:
        """Decode `Verdict.to_json()`."""
        gates = tuple(GateRecord(*(gate[name] for name in GateRecord._fields)) for gate in body["gates"])
        return VerdictRecord(outcome=body["outcome"], gates=gates, recorded=body)

    @staticmethod
    def in_note(body: Mapping[str, Any]) -> VerdictRecord | None:
        """The verdict that a noted event carries under `verdict`, if any."""
        verdict = body.get("verdict")
        return VerdictRecord.from_json(verdict) if isinstance(verdict, dict) else None
