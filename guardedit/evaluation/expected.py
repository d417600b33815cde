"""What must be true after a stream of corrections: one fate a line, and what is live at the end.

Plain records. Knows nothing of how the stream was made or of who works it off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from guardedit.core.fact import FactKey
from guardedit.core.receipt import Fate


class Kind(StrEnum):
    """What a line of the stream is there for."""

    UPDATE = "update"  # a known fact gets another object of its relation
    WORDING = "new_wording"  # of a live fact
    DUPLICATE = "duplicate"  # the same bytes again
    ID_REUSE = "id_reuse"  # a known id, another content
    SUPERSEDE = "supersede"  # a live fact gets a third object
    RETRACT = "retract"
    VOLATILE = "volatile"  # with an expiry that is far
    FLEETING = "fleeting"  # with an expiry before the questions are asked
    EXPIRED = "expired"
    LIKELY = "likely"  # confidence .5: memory only
    DOUBTFUL = "doubtful"  # confidence .2: held
    NO_OP = "no_op"  # what the model already says
    MALFORMED = "malformed"
    DISABLING = "disabling"  # an edit of its kind ruins a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the stream and its one expected fate. `correction_id` is empty where none can be read."""

    raw: bytes
    kind: Kind
    fate: Fate
    correction_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFact:
    """A fact that must be live at the end.

    `given` are the questions the corrections brought, the correction's own first; `kept` are the other
    wordings of the relation, which nobody was told and which are therefore asked.
    """

    key: FactKey
    target: str
    given: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStream:
    """Lines in order, and the end they must lead to.

    Attributes:
        lines: as they are submitted.
        live: what must be live at the end.
        gone: keys that were retracted or have expired, with a question: the base model answers again.
        disabling: ids of the disabling corrections.
        settled_by_s: seconds since 1970 after which the last fleeting fact has expired.
        seed: of the stream.
    """

    lines: tuple[Line, ...]
    live: Mapping[FactKey, ExpectedFact]
    gone: Mapping[FactKey, str]
    disabling: frozenset[str]
    settled_by_s: float
    seed: int

    @property
    def raw(self) -> bytes:
        """The stream as a JSON Lines file."""
        return b"".join(line.raw + b"\n" for line in self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """Lines by kind."""
        return dict(sorted(Counter(line.kind.value for line in self.lines).items()))
