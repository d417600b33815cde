"""Checks that every recorded fact agrees with the message that it came from.

The hash chain shows that nothing was changed after it was written. This check shows that what was written
follows from the received messages.
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
from guardedit.naming import identity, key_name

_ACCEPTED = (
    "SELECT seq, correction_id, content_sha256, raw FROM inbox JOIN messages ON sha256 = raw_sha256"
    " WHERE fate = 'accepted' ORDER BY seq"
)
_FACTS = "SELECT epoch, fact FROM changes WHERE fact IS NOT NULL ORDER BY epoch, n"


@dataclass(frozen=True, slots=True)
class _Accepted:
    """Accepted corrections by the id under which they were decided; wordings and aliases by folded key."""

    corrections: dict[str, Correction] = field(default_factory=dict)
    wordings: dict[FactKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    aliases: dict[FactKey, set[str]] = field(default_factory=lambda: defaultdict(set))


def origin_problems(database: Database) -> Iterator[str]:
    """One sentence for each difference between accepted messages and what was recorded.

    Reports messages whose content is not the one decided on, and facts that follow from no accepted message.
    """
    accepted = _Accepted()
    yield from _read_messages(database, accepted)
    checked: set[tuple[str, str]] = set()  # a move between placements records the same fact again
    for epoch, text in database.rows(_FACTS):
        try:
            fact = read_fact(text)
        except LedgerCorrupt as error:
            yield str(error)
            continue
        if (origin := (fact.id, fact.correction_id)) not in checked:
            checked.add(origin)
            for difference in _differences(fact, accepted):
                yield f"changes: fact {fact.id} of epoch {epoch} {difference}"


def _read_messages(database: Database, accepted: _Accepted) -> Iterator[str]:
    """Decode the accepted messages into `accepted`; yields the problems found."""
    for seq, correction_id, digest, raw in database.rows(_ACCEPTED):
        try:
            correction = decode_correction(raw, recorded=True)
        except (CorrectionError, ValueError, TypeError, RecursionError) as error:
            yield f"inbox: row {seq} was accepted, but its message cannot be read: {error}"
            continue
        if content_sha256(correction) != digest:
            yield f"inbox: row {seq} was decided with another content than its message has"
        accepted.corrections[correction_id] = correction
        accepted.wordings[key_name(correction.key)].update(correction.wordings)
        accepted.aliases[key_name(correction.key)].update(correction.aliases)


def _differences(fact: Fact, accepted: _Accepted) -> Iterator[str]:
    name = fact.correction_id
    origin = accepted.corrections.get(name)
    if origin is None or origin.op is Op.RETRACT:
        yield f"follows from no accepted message: there is none of correction {name!r} that sets a fact"
        return
    about = key_name(fact.key._replace(target=""))  # a message has no target in its key
    if about != key_name(origin.key):
        yield f"is about {fact.key}, the message of correction {name!r} about {origin.key}"
    if fact.target != origin.target_new:
        yield f"says {fact.target!r}, the message of correction {name!r} says {origin.target_new!r}"
    if fact.key.target and identity(fact.key.target) != identity(fact.target):
        yield f"says {fact.target!r}, its key {fact.key.target!r}"
    if missing := set(origin.wordings) - set(fact.wordings):
        yield f"lacks the wording {min(missing)!r} of correction {name!r}"
    if added := set(fact.wordings) - accepted.wordings[about]:
        yield f"has the wording {min(added)!r}, which is in no message about it"
    if unnamed := set(origin.aliases) - set(fact.aliases):
        yield f"lacks the alias {min(unnamed)!r} of correction {name!r}"
    if named := set(fact.aliases) - accepted.aliases[about]:
        yield f"has the alias {min(named)!r}, which is in no message about it"
