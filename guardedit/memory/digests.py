"""One digest for a set of facts, kept by increments: a change costs the same in any set.

The sum, modulo 2**256, of a sha256 for each fact with all its fields. Equal for equal sets, however they were
reached. It tells two sets apart that differ by accident; against somebody who chooses facts so that sums
agree it proves nothing, which is what the ledger's chain is for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from guardedit.core.fact import Fact

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


def _number(fact: Fact) -> int:
    body = json.dumps(fact.to_json(), sort_keys=True)
    return int.from_bytes(hashlib.sha256(body.encode()).digest(), "big")
