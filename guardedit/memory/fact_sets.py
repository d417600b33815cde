"""Sets of facts: the difference of two sets, and a digest that can be updated fact by fact.

The digest is the sum, modulo 2**256, of a sha256 for each fact with all its fields. It is equal for equal
sets, regardless of the order of changes, and the cost of an update does not depend on the size of the set. It
detects accidental differences. It does not protect against facts that are chosen so that the sums agree; the
ledger's hash chain does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey

_MODULUS = 2**256
#: Fields that `Fact.id` covers. Listing them saves most of the time of a digest.
_IN_ID = {"key", "version", "wordings", "target", "subject_at"}
_others = attrgetter(*(item.name for item in fields(Fact) if item.init and item.name not in _IN_ID))


def facts_sha256(facts: Iterable[Fact]) -> str:
    """Digest of a set of facts, 64 hexadecimal digits; the order does not matter.

    >>> facts_sha256([]) == "0" * 64
    True
    """
    return digest_after("0", (), facts)


def digest_after(digest: str, removed: Iterable[Fact], added: Iterable[Fact]) -> str:
    """The digest of a set after facts are removed and added, computed from its previous digest."""
    total = int(digest, 16) + sum(map(_number, added)) - sum(map(_number, removed))
    return f"{total % _MODULUS:064x}"


def changes_between(current: Mapping[FactKey, Fact], wanted: Mapping[FactKey, Fact]) -> list[Change]:
    """The smallest list of changes from one set of facts to another."""
    deletions = [Change(key, None) for key in current if key not in wanted]
    # Most facts are the same objects, and comparing their fields takes ten times longer.
    changed = (
        Change(key, fact)
        for key, fact in wanted.items()
        if (old := current.get(key)) is not fact and old != fact
    )
    return [*deletions, *changed]


def count_new(current: Mapping[FactKey, Fact], changes: Iterable[Change]) -> int:
    """How many of the changes set a fact with other content than the present one."""
    return sum(
        fact is not None and ((old := current.get(key)) is None or old.id != fact.id) for key, fact in changes
    )


def _number(fact: Fact) -> int:
    body = json.dumps([fact.id, *_others(fact)])
    return int.from_bytes(hashlib.sha256(body.encode()).digest(), "big")


def require_digest(found: str, after: str) -> None:
    """Raise MemoryIndexError unless changes lead to the facts with the digest `after`."""
    if found != after:
        raise MemoryIndexError(
            f"these changes lead to facts with digest {found[:12]}, not {after[:12]}: "
            "load all facts of the epoch instead"
        )
