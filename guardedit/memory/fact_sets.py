"""Sets of facts: what leads from one to another, and one digest kept by increments, the same cost in any set.

The digest is the sum, modulo 2**256, of a sha256 for each fact with all its fields. It is equal for equal
sets, however they were reached, and tells sets apart that differ by accident. Against somebody who chooses
facts so that sums agree it proves nothing; for that there is the ledger's chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey

_MODULUS = 2**256


def facts_sha256(facts: Iterable[Fact]) -> str:
    """Digest of a set of facts, 64 hexadecimal digits; the order does not matter.

    >>> facts_sha256([]) == "0" * 64
    True
    """
    return digest_after("0", (), facts)


def digest_after(digest: str, gone: Iterable[Fact], come: Iterable[Fact]) -> str:
    """From the digest of a set to that of the set without the facts `gone` and with those that `come`."""
    total = int(digest, 16) + sum(map(_number, come)) - sum(map(_number, gone))
    return f"{total % _MODULUS:064x}"


def changes_between(held: Mapping[FactKey, Fact], wanted: Mapping[FactKey, Fact]) -> list[Change]:
    """The smallest change from some facts to others."""
    gone = [Change(key, None) for key in held if key not in wanted]
    return [*gone, *(Change(key, fact) for key, fact in wanted.items() if held.get(key) != fact)]


def _number(fact: Fact) -> int:
    body = json.dumps(fact.to_json(), sort_keys=True)
    return int.from_bytes(hashlib.sha256(body.encode()).digest(), "big")
