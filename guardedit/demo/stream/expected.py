"""Defines the expected result of a stream: one fate per line, and the live facts at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from guardedit.core.fact import FactKey
from guardedit.core.messages import Fate
from guardedit.demo.disabling.edit import DisablingEdit


class LineKind(StrEnum):
    """The purpose of a line of the stream."""

    UPDATE = "update"  # a known fact gets another object of its relation
    WORDING = "new_wording"  # more wordings of a live fact
    DUPLICATE = "duplicate"  # the same bytes again
    ID_REUSE = "id_reuse"  # a known id with another content
    SUPERSEDE = "supersede"  # a live fact gets a third object
    LATE = "late_older"  # a correction of a live fact with an older timestamp
    RETRACT = "retract"
    VOLATILE = "volatile"  # expires long after the demo
    FLEETING = "fleeting"  # expires before the questions are asked
    EXPIRED = "expired"
    LIKELY = "likely"  # confidence .5: memory only
    DOUBTFUL = "doubtful"  # confidence .2: held
    NO_OP = "no_op"  # what the model already answers
    MALFORMED = "malformed"
    DISABLING = "disabling"  # its edit was measured to ruin the model


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFact:
    """A fact that must be live.

    Attributes:
        key: key of the fact.
        target: the expected answer.
        given: questions in the wordings of the corrections, the correction's own prompt first.
        unseen: questions in the other wordings of the relation, which no correction contained.
    """

    key: FactKey
    target: str
    given: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedFact:
    """A fact that was live once and was retracted or has expired.

    Attributes:
        key: key of the fact.
        prompt: a question that must have the base model's answer again.
    """

    key: FactKey
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the stream.

    Attributes:
        raw: the message.
        kind: its purpose.
        fate: the expected one.
        correction_id: empty if the line has no readable id.
        effect: the expected state of its fact from then on; None if the line changes nothing.
    """

    raw: bytes
    kind: LineKind
    fate: Fate
    correction_id: str = ""
    effect: ExpectedFact | RemovedFact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStream:
    """Lines in order, and the expected state after them.

    Attributes:
        lines: lines in the order of submission.
        disabling: correction id -> the disabling edit that the correction asks for.
        settled_by_s: seconds since 1970 after which the last fleeting fact has expired.
        seed: seed of the stream.
    """

    lines: tuple[Line, ...]
    disabling: Mapping[str, DisablingEdit]
    settled_by_s: float
    seed: int

    @property
    def live(self) -> dict[FactKey, ExpectedFact]:
        """The facts that must be live at the end."""
        return {key: effect for key, effect in self._effects.items() if isinstance(effect, ExpectedFact)}

    @property
    def gone(self) -> dict[FactKey, str]:
        """Retracted and expired keys, each with a question."""
        return {
            key: effect.prompt for key, effect in self._effects.items() if isinstance(effect, RemovedFact)
        }

    @property
    def raw(self) -> bytes:
        """The stream as a JSON Lines file."""
        return b"".join(line.raw + b"\n" for line in self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """Number of lines by kind."""
        return dict(sorted(Counter(line.kind.value for line in self.lines).items()))

    def first(self, lines: int) -> DemoStream:
        """The stream cut off after this many lines."""
        return replace(self, lines=self.lines[:lines])

    def without(self, correction_ids: Collection[str]) -> DemoStream:
        """The stream without these corrections and their duplicates."""
        kept = tuple(line for line in self.lines if line.correction_id not in correction_ids)
        return replace(self, lines=kept)

    @property
    def _effects(self) -> dict[FactKey, ExpectedFact | RemovedFact]:
        """The last effect on each key."""
        effects = [line.effect for line in self.lines if line.effect is not None]
        return {effect.key: effect for effect in effects}
