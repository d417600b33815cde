"""Builds the indexes of many facts at once, beside those in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import Encoder
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.tenant_index import FactEntry, entry_of
from guardedit.memory.tenant_indexes import TenantIndexes


class Contents(NamedTuple):
    """Facts with everything that finds them.

    Attributes:
        facts: with expired facts.
        indexes: of the facts; all of them are visible.
        digest: of the facts.
    """

    facts: dict[FactKey, Fact]
    indexes: TenantIndexes
    digest: str


def contents_of(facts: dict[FactKey, Fact], encoder: Encoder) -> Contents:
    """The facts, which the result owns from now on, with new indexes."""
    return Contents(facts, TenantIndexes.of(encoder, facts.values()), facts_sha256(facts.values()))


def entries_of(changes: Iterable[Change]) -> dict[FactKey, FactEntry]:
    """The entries of all new facts."""
    return {key: entry_of(fact) for key, fact in changes if fact is not None}
