"""A fact: the live statement for a key, in one of two placements."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple


class Placement(StrEnum):
    """Where a live fact is answered from."""

    MEMORY = "memory"
    WEIGHTS = "weights"


class FactKey(NamedTuple):
    """What a fact is about. At most one fact is live for a key."""

    subject: str
    relation: str
    scope: str = "default"

    def __str__(self) -> str:
        """`scope/subject/relation`, for people."""
        return f"{self.scope}/{self.subject}/{self.relation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One version of a live statement.

    `wordings` are questions with the subject filled in; the first is the correction's own prompt.
    `id` names content and version, never placement: a fact keeps its id while it moves.
    """

    key: FactKey
    version: int
    correction_id: str
    wordings: tuple[str, ...]
    target: str
    placement: Placement = Placement.MEMORY
    valid_until_s: float | None = None
    method: str = ""  # the editing method the policy chose, should the fact go to the weights

    @property
    def prompt(self) -> str:
        """The correction's own question."""
        return self.wordings[0]

    @property
    def statement(self) -> str:
        """Question and answer as one sentence."""
        return f"{self.prompt} {self.target}."

    @property
    def id(self) -> str:
        """Short content hash: same key, version, wordings and target give the same id."""
        body = [*self.key, self.version, self.wordings, self.target]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]

    def placed(self, placement: Placement) -> Fact:
        """The same fact elsewhere."""
        return replace(self, placement=placement)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger and the wire."""
        return {**asdict(self), "key": list(self.key), "wordings": list(self.wordings)}

    @staticmethod
    def from_json(body: dict[str, Any]) -> Fact:
        """Inverse of `to_json`."""
        return Fact(
            **{
                **body,
                "key": FactKey(*body["key"]),
                "wordings": tuple(body["wordings"]),
                "placement": Placement(body["placement"]),
            }
        )
