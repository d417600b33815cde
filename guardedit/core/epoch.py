"""An epoch: an immutable, numbered version of what the system knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey


class Change(NamedTuple):
    """One difference between an epoch and its predecessor: the fact is now live so, or (None) gone."""

    key: FactKey
    fact: Fact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What was known at one moment. Epoch 0 is the base model with no facts.

    `state_sha256` covers base, live facts with placements, policy and weights; two epochs with equal
    state hashes give the same answers.
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


def state_sha256(base_sha256: str, weights_sha256: str, facts: Iterable[Fact]) -> str:
    """Digest of everything an answer depends on; the order of arrival does not matter."""
    rows = sorted((*fact.key, fact.id, fact.placement.value) for fact in facts)
    body = json.dumps([base_sha256, weights_sha256, rows], ensure_ascii=True)
    return hashlib.sha256(body.encode()).hexdigest()
