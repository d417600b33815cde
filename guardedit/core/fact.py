"""A fact: the live statement for a key, in one of two placements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
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
    tenant: str = "default"

    def __str__(self) -> str:
        """`tenant/subject/relation`, for people."""
        return f"{self.tenant}/{self.subject}/{self.relation}"


#: In a row of places one that is not known: an empty one.
UNPLACED = (0, 0)


class Wording(NamedTuple):
    """A question, and the characters [start, end) of its subject; None: not known, the name is looked for."""

    text: str
    subject_at: tuple[int, int] | None


def worded(wordings: Sequence[str], subject_at: Sequence[tuple[int, int]]) -> tuple[Wording, ...]:
    """Wordings with their places; `subject_at` is empty or has one for each, an empty one where unknown."""
    places = subject_at or [UNPLACED] * len(wordings)
    return tuple(
        Wording(text, (start, end) if end > start else None)
        for text, (start, end) in zip(wordings, places, strict=True)
    )


def distinct_wordings(told: Iterable[Wording]) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """`wordings` and `subject_at` of a fact: each wording once, a known place before an unknown one.

    >>> distinct_wordings([Wording("York is", None), Wording("Is York", (3, 7)), Wording("York is", (0, 4))])
    (('York is', 'Is York'), ((0, 4), (3, 7)))
    """
    places: dict[str, tuple[int, int] | None] = {}
    for text, place in told:
        places[text] = places.get(text) or place
    known = any(places.values())
    return tuple(places), tuple(place or UNPLACED for place in places.values()) if known else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One version of a live statement.

    `wordings` are questions with the subject filled in; the first is the correction's own prompt.
    `id` names content and version, never placement: a fact keeps its id while it moves.

    Attributes:
        subject_at: for each wording the characters [start, end) where `{}` stood. Empty, or an empty place
            among others: not known, and the subject is looked for.
        reported_at_s: when its source said so, seconds since 1970, UTC; None where it did not say.
        method: the editing method the policy chose, should the fact go to the weights.
    """

    key: FactKey
    version: int
    correction_id: str
    wordings: tuple[str, ...]
    target: str
    placement: Placement = Placement.MEMORY
    valid_until_s: float | None = None
    method: str = ""
    subject_at: tuple[tuple[int, int], ...] = ()
    reported_at_s: float | None = None
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once: a ledger of ten thousand facts asks for it in every epoch.
        body = [*self.key, self.version, self.wordings, self.target, self.subject_at]
        object.__setattr__(self, "id", hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16])

    @property
    def prompt(self) -> str:
        """The correction's own question."""
        return self.wordings[0]

    @property
    def worded(self) -> tuple[Wording, ...]:
        """Each wording with the place of its subject."""
        return worded(self.wordings, self.subject_at)

    @property
    def statement(self) -> str:
        """Question and answer as one sentence."""
        return f"{self.prompt} {self.target}."

    def expired(self, now_s: float) -> bool:
        """Whether its time is over; `now_s` is seconds since 1970, UTC."""
        return self.valid_until_s is not None and self.valid_until_s <= now_s

    def placed(self, placement: Placement) -> Fact:
        """The same fact elsewhere."""
        return replace(self, placement=placement)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger and the wire."""
        body = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        body["subject_at"] = [list(span) for span in self.subject_at]
        return {**body, "key": list(self.key), "wordings": list(self.wordings)}

    @staticmethod
    def from_json(body: dict[str, Any]) -> Fact:
        """Inverse of `to_json`."""
        return Fact(
            **{
                **body,
                "key": FactKey(*body["key"]),
                "wordings": tuple(body["wordings"]),
                "subject_at": tuple((start, end) for start, end in body.get("subject_at", ())),
                "placement": Placement(body["placement"]),
            }
        )
