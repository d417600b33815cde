"""What must be true after a stream of corrections: one fate a line, and what is live at the end.

Plain records. Knows nothing of how the stream was made or of who works it off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from guardedit.core.fact import FactKey
from guardedit.core.receipt import Fate
from guardedit.demo.disabling import Disabling


class Kind(StrEnum):
    """What a line of the stream is there for."""

    UPDATE = "update"  # a known fact gets another object of its relation
    WORDING = "new_wording"  # of a live fact
    DUPLICATE = "duplicate"  # the same bytes again
    ID_REUSE = "id_reuse"  # a known id, another content
    SUPERSEDE = "supersede"  # a live fact gets a third object
    LATE = "late_older"  # a report of a live fact that is older than what is live
    RETRACT = "retract"
    VOLATILE = "volatile"  # with an expiry that is far
    FLEETING = "fleeting"  # with an expiry before the questions are asked
    EXPIRED = "expired"
    LIKELY = "likely"  # confidence .5: memory only
    DOUBTFUL = "doubtful"  # confidence .2: held
    NO_OP = "no_op"  # what the model already says
    MALFORMED = "malformed"
    DISABLING = "disabling"  # its edit was measured to ruin the model


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFact:
    """A fact that must be live.

    `given` are the questions the corrections brought, the correction's own first; `kept` are the other
    wordings of the relation, which nobody was told and which are therefore asked.
    """

    key: FactKey
    target: str
    given: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A key that was live once and is no more, with a question: the base model answers again."""

    key: FactKey
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the stream, its one expected fate, and what is so from then on.

    `correction_id` is empty where none can be read, `effect` is None where the line changes nothing.
    """

    raw: bytes
    kind: Kind
    fate: Fate
    correction_id: str = ""
    effect: ExpectedFact | Gone | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStream:
    """Lines in order, and the end they must lead to.

    Attributes:
        lines: as they are submitted.
        disabling: by correction id, the edits that are meant to ruin the model.
        settled_by_s: seconds since 1970 after which the last fleeting fact has expired.
        seed: of the stream.
    """

    lines: tuple[Line, ...]
    disabling: Mapping[str, Disabling]
    settled_by_s: float
    seed: int

    @property
    def live(self) -> dict[FactKey, ExpectedFact]:
        """What must be live at the end."""
        return {key: effect for key, effect in self._effects.items() if isinstance(effect, ExpectedFact)}

    @property
    def gone(self) -> dict[FactKey, str]:
        """Keys that were retracted or have expired, each with a question."""
        return {key: effect.prompt for key, effect in self._effects.items() if isinstance(effect, Gone)}

    @property
    def raw(self) -> bytes:
        """The stream as a JSON Lines file."""
        return b"".join(line.raw + b"\n" for line in self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """Lines by kind."""
        return dict(sorted(Counter(line.kind.value for line in self.lines).items()))

    def first(self, lines: int) -> DemoStream:
        """The stream as it would be if it ended after so many lines."""
        return replace(self, lines=self.lines[:lines])

    def without(self, correction_ids: Collection[str]) -> DemoStream:
        """The stream without some corrections, duplicates of them included."""
        kept = tuple(line for line in self.lines if line.correction_id not in correction_ids)
        return replace(self, lines=kept)

    @property
    def _effects(self) -> dict[FactKey, ExpectedFact | Gone]:
        """The last effect on each key, following the lines one by one."""
        effects = [line.effect for line in self.lines if line.effect is not None]
        return {effect.key: effect for effect in effects}
