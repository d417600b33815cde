"""Builds the indexes of many facts at once, beside those in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import Encoder
from guardedit.memory.expiry import Expiry
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.tenant_index import FactEntry, TenantIndex, entry_of


class Contents(NamedTuple):
    """Facts with everything that finds them.

    Attributes:
        facts: with expired facts.
        indexes: by tenant.
        expiry: of the facts; all of them are visible.
        digest: of the facts.
    """

    facts: dict[FactKey, Fact]
    indexes: dict[str, TenantIndex]
    expiry: Expiry
    digest: str


def contents_of(facts: dict[FactKey, Fact], encoder: Encoder) -> Contents:
    """The facts, which the result owns from now on, with new indexes."""
    by_tenant: dict[str, list[FactEntry]] = {}
    expiry = Expiry()
    for fact in facts.values():
        entry = entry_of(fact)
        by_tenant.setdefault(fact.key.tenant, []).append(entry)
        expiry.add(entry)
    indexes = {tenant: TenantIndex.of(encoder, entries) for tenant, entries in by_tenant.items()}
    return Contents(facts, indexes, expiry, facts_sha256(facts.values()))


def entries_of(changes: Iterable[Change]) -> dict[FactKey, FactEntry]:
    """The entries of all new facts."""
    return {key: entry_of(fact) for key, fact in changes if fact is not None}
