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
    """One difference between an epoch and its predecessor: the fact is now live so, or (None) gone."""

    key: FactKey
    fact: Fact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What was known at one moment. Epoch 0 is the base model with no facts.

    `state_sha256` covers the base model, the folded weights, and the live facts with their placements and
    their expiry. It does not cover the policy, which is recorded beside it: thresholds of the memory can
    make two epochs with equal state hashes answer differently.
    """

    number: int
    kind: str  # base, remember, promote, demote, rollback, undo, redo, expire
    base_sha256: str
    policy_sha256: str
    weights_sha256: str
    edits: tuple[str, ...]  # digests of the live weight edits, sorted
    state_sha256: str
    created_at_s: float
    reason: str = ""


def facts_sum(facts: Iterable[Fact], *, start: int = 0, gone: Iterable[Fact] = ()) -> int:
    """The sum of the facts' own digests modulo 2**256, to be carried from epoch to epoch.

    The order of arrival does not matter, and a change costs as much as the facts that changed: `start` is
    the sum before, `gone` are the facts that it shall lose.

    A sum is weaker than one digest over all facts: whoever may choose thousands of facts freely can look
    for two sets with the same sum. That is enough here, because it only tells states of one ledger apart.
    That no fact was forged is vouched for by the ledger's chain, where each event is under SHA-256.
    """
    return (start + sum(map(_number, facts)) - sum(map(_number, gone))) % _MODULUS


def state_sha256_of(base_sha256: str, weights_sha256: str, total: int) -> str:
    """`state_sha256` of facts whose `facts_sum` is known."""
    body = json.dumps([base_sha256, weights_sha256, f"{total:064x}"])
    return hashlib.sha256(body.encode()).hexdigest()


def state_sha256(base_sha256: str, weights_sha256: str, facts: Iterable[Fact]) -> str:
    """Digest of base model, weights and facts, as an epoch carries it."""
    return state_sha256_of(base_sha256, weights_sha256, facts_sum(facts))


def _number(fact: Fact) -> int:
    # The id stands for key, version, wordings, the subject's places and target.
    row = [*fact.key, fact.id, fact.placement.value, fact.valid_until_s]
    return int.from_bytes(hashlib.sha256(json.dumps(row).encode()).digest(), "big")
