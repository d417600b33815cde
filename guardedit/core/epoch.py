"""An epoch: an immutable, numbered version of what the system knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey

_MODULUS = 1 << 256


class Change(NamedTuple):
    """One difference between an epoch and its predecessor: the new live fact of a key, or None if removed."""

    key: FactKey
    fact: Fact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The state at one moment. Epoch 0 is the base model with no facts.

    `state_sha256` covers the base model, the folded weights, and the live facts with their placements and
    their expiry. It does not cover the policy, which is recorded beside it: two epochs with equal state
    hashes can answer differently under other thresholds of the memory.
    """

    number: int
    kind: str  # base, remember, promote, demote, rollback, undo, redo, expire
    base_sha256: str
    policy_sha256: str
    weights_sha256: str
    edits: tuple[str, ...]  # digests of the live weight edits, sorted
    state_sha256: str
    created_at_s: float  # seconds since 1970, UTC
    reason: str = ""


def facts_sum(facts: Iterable[Fact], *, start: int = 0, removed: Iterable[Fact] = ()) -> int:
    """`start` plus the digests of `facts` minus the digests of `removed`, modulo 2**256.

    The sum over all live facts is carried from epoch to epoch: it does not depend on the order of the facts,
    and the cost of an update depends only on the number of changed facts.

    A sum is weaker than one digest over all facts: an attacker who can choose thousands of facts freely can
    look for two sets with the same sum. That is acceptable here, because the sum only distinguishes states of
    one ledger. Forged facts are detected by the ledger's chain, which hashes each event with SHA-256.
    """
    return (start + sum(map(_digest, facts)) - sum(map(_digest, removed))) % _MODULUS


def state_sha256_of(base_sha256: str, weights_sha256: str, total: int) -> str:
    """`Epoch.state_sha256`, where `total` is the `facts_sum` of all live facts."""
    body = json.dumps([base_sha256, weights_sha256, f"{total:064x}"])
    return hashlib.sha256(body.encode()).hexdigest()


def state_sha256(base_sha256: str, weights_sha256: str, facts: Iterable[Fact]) -> str:
    """`Epoch.state_sha256` from the live facts themselves."""
    return state_sha256_of(base_sha256, weights_sha256, facts_sum(facts))


def _digest(fact: Fact) -> int:
    # The id covers key, version, wordings, the subject's spans and target.
    row: list[object] = [*fact.key.to_json(), fact.id, fact.placement.value, fact.valid_until_s]
    if fact.valid_from_s is not None:  # earlier versions did not have it, and recorded hashes stay the same
        row.append(fact.valid_from_s)
    return int.from_bytes(hashlib.sha256(json.dumps(row).encode()).digest(), "big")
