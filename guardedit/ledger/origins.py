"""Do the facts say what their messages said?

The chain shows that nothing was changed since it was written. This shows that what was written follows from
what came in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from guardedit.core.correction import Correction, Op, content_sha256, decode_correction
from guardedit.core.errors import CorrectionError, LedgerCorrupt
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.state import read_fact
from guardedit.ledger.storage.database import Database
from guardedit.naming import identity

_ACCEPTED = (
    "SELECT seq, correction_id, content_sha256, raw FROM inbox JOIN messages ON sha256 = raw_sha256"
    " WHERE fate = 'accepted' ORDER BY seq"
)
_FACTS = "SELECT epoch, fact FROM changes WHERE fact IS NOT NULL ORDER BY epoch, n"


@dataclass(frozen=True, slots=True)
class _Said:
    """Accepted corrections by the id they were decided under, and all wordings of a name."""

    corrections: dict[str, Correction] = field(default_factory=dict)
    wordings: dict[tuple[str, ...], set[str]] = field(default_factory=lambda: defaultdict(set))


def strangers(database: Database) -> Iterator[str]:
    """Accepted messages that were decided on as something else, and facts that none of them asked for."""
    said = _Said()
    for seq, name, digest, raw in database.rows(_ACCEPTED):
        try:
            correction = decode_correction(raw, recorded=True)
        except (CorrectionError, ValueError, TypeError, RecursionError) as error:
            yield f"inbox: row {seq} was accepted, but its message cannot be read: {error}"
            continue
        if content_sha256(correction) != digest:
            yield f"inbox: row {seq} was decided as another content than its message has"
        said.corrections[name] = correction
        said.wordings[_names(correction.key)].update(correction.wordings)
    seen: set[tuple[str, str]] = set()  # a move between placements is the same fact again
    for epoch, text in database.rows(_FACTS):
        try:
            fact = read_fact(text)
        except LedgerCorrupt as error:
            yield str(error)
            continue
        if (name := (fact.id, fact.correction_id)) not in seen:
            seen.add(name)
            yield from (f"changes: fact {fact.id} of epoch {epoch} {why}" for why in _differences(fact, said))


def _differences(fact: Fact, said: _Said) -> Iterator[str]:
    asked, name = said.corrections.get(fact.correction_id), fact.correction_id
    if asked is None or asked.op is Op.RETRACT:
        yield f"follows from no accepted message: there is none of correction {name!r} that sets a fact"
        return
    if _names(fact.key) != _names(asked.key):
        yield f"is about {fact.key}, the message of correction {name!r} about {asked.key}"
    if fact.target != asked.target_new:
        yield f"says {fact.target!r}, the message of correction {name!r} says {asked.target_new!r}"
    if missing := set(asked.wordings) - set(fact.wordings):
        yield f"lacks the wording {min(missing)!r} of correction {name!r}"
    if added := set(fact.wordings) - said.wordings[_names(fact.key)]:
        yield f"has the wording {min(added)!r}, which stands in no message about it"


def _names(key: FactKey) -> tuple[str, str, str]:
    return identity(key.subject), identity(key.relation), key.tenant
