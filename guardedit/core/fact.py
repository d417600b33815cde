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
    """What a fact is about. At most one fact is live for a key.

    `target` is "" but for a relation that the policy declares many-valued: there each target is a fact of its
    own. `naming.key_name` decides whether two keys are the same.
    """

    subject: str
    relation: str
    tenant: str = "default"
    target: str = ""

    def __str__(self) -> str:
        """`tenant/subject/relation`, with `/target` where the key has one; for people."""
        return "/".join((self.tenant, self.subject, self.relation, *([self.target] if self.target else ())))

    def to_json(self) -> list[str]:
        """Plain data: subject, relation and tenant, and the target where the key has one.

        >>> FactKey("Ada", "home").to_json(), FactKey("Ada", "speaks", target="Welsh").to_json()
        (['Ada', 'home', 'default'], ['Ada', 'speaks', 'default', 'Welsh'])
        """
        return list(self if self.target else self[:3])


#: Stands in `subject_at` for a span that is not known.
UNKNOWN_SPAN = (0, 0)


class Wording(NamedTuple):
    """One way to ask for a fact.

    `subject_at` are the characters [start, end) of the subject in the text. None: not known, so the
    subject's name has to be searched for.
    """

    text: str
    subject_at: tuple[int, int] | None


def locate_subjects(wordings: Sequence[str], subject_at: Sequence[tuple[int, int]]) -> tuple[Wording, ...]:
    """Each text with the span of its subject.

    `subject_at` is empty, or has one span for each text, where an empty span means that it is not known.
    """
    spans = subject_at or [UNKNOWN_SPAN] * len(wordings)
    return tuple(
        Wording(text, (start, end) if end > start else None)
        for text, (start, end) in zip(wordings, spans, strict=True)
    )


def distinct_wordings(
    wordings: Iterable[Wording],
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """`Fact.wordings` and `Fact.subject_at`: each text once, and a known span preferred to an unknown one.

    >>> distinct_wordings([Wording("York is", None), Wording("Is York", (3, 7)), Wording("York is", (0, 4))])
    (('York is', 'Is York'), ((0, 4), (3, 7)))
    """
    spans: dict[str, tuple[int, int] | None] = {}
    for text, span in wordings:
        spans[text] = spans.get(text) or span
    known = any(spans.values())
    return tuple(spans), tuple(span or UNKNOWN_SPAN for span in spans.values()) if known else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One version of a live statement.

    Attributes:
        key: what it is about.
        version: counts the versions of the key, from 1.
        correction_id: the correction that set it.
        wordings: questions with the subject filled in; the first is the correction's own prompt.
        target: the answer.
        placement: where it is answered from.
        valid_from_s: since when it holds, seconds since 1970, UTC; None: since it was reported.
        valid_until_s: when it expires, seconds since 1970, UTC; None: never.
        method: the editing method that the policy chose; "" for a fact that is to stay in memory.
        subject_at: for each wording the characters [start, end) of the subject. An empty span is an
            unknown one, and an empty tuple means that none is known. Then the subject's name is searched for.
        aliases: other names of the subject, which questions and wordings may use.
        reported_at_s: when its source reported it, seconds since 1970, UTC; None where it gave no time.
        id: digest of content and version but not of the placement, so a fact keeps its id when it moves.
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
    aliases: tuple[str, ...] = ()
    valid_from_s: float | None = None
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once: a ledger of ten thousand facts needs it in every epoch.
        body = [*self.key.to_json(), self.version, self.wordings, self.target, self.subject_at]
        if self.aliases:  # so that facts without aliases keep the ids that they had before there were aliases
            body.append(self.aliases)
        object.__setattr__(self, "id", hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16])

    @property
    def prompt(self) -> str:
        """The correction's own question."""
        return self.wordings[0]

    @property
    def located_wordings(self) -> tuple[Wording, ...]:
        """Each wording with the span of its subject."""
        return locate_subjects(self.wordings, self.subject_at)

    @property
    def statement(self) -> str:
        """Question and answer as one sentence."""
        return f"{self.prompt} {self.target}."

    def expired(self, now_s: float) -> bool:
        """Whether it has expired at `now_s`, seconds since 1970, UTC."""
        return self.valid_until_s is not None and self.valid_until_s <= now_s

    def placed(self, placement: Placement) -> Fact:
        """The same fact in another placement."""
        return replace(self, placement=placement)

    def exported(self) -> dict[str, object]:
        """The fact as exports and published epochs list it, for other programs."""
        return {
            "id": self.id,
            "subject": self.key.subject,
            "relation": self.key.relation,
            "tenant": self.key.tenant,
            "prompt": self.prompt,
            "target": self.target,
            "wordings": list(self.wordings),
            **({"aliases": list(self.aliases)} if self.aliases else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger and for other processes."""
        body = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        body["subject_at"] = [list(span) for span in self.subject_at]
        body["aliases"] = list(self.aliases)
        # Earlier versions did not have these, and recorded bytes stay the same.
        if self.valid_from_s is None:
            del body["valid_from_s"]
        if not self.aliases:
            del body["aliases"]
        return {**body, "key": self.key.to_json(), "wordings": list(self.wordings)}

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
                "aliases": tuple(body.get("aliases", ())),
            }
        )
