"""The indexes of all tenants. They show exactly the facts that are valid at the time of a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.expiry import Expiry
from guardedit.memory.tenant_index import FactEntry, TenantIndex, entry_of

#: The tenant whose facts every tenant sees.
DEFAULT_TENANT = "default"


class TenantIndexes:
    """The index of each tenant that has a visible fact, and when facts expire. Not thread-safe."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.by_tenant: dict[str, TenantIndex] = {}
        self._expiry = Expiry()

    @staticmethod
    def of(encoder: Encoder, facts: Iterable[Fact]) -> TenantIndexes:
        """Indexes of these facts, all of them visible."""
        indexes = TenantIndexes(encoder)
        entries: dict[str, list[FactEntry]] = {}
        for fact in facts:
            entry = entry_of(fact)
            entries.setdefault(fact.key.tenant, []).append(entry)
            indexes._expiry.add(entry)
        indexes.by_tenant = {tenant: TenantIndex.of(encoder, some) for tenant, some in entries.items()}
        return indexes

    def change(self, entries: Mapping[FactKey, FactEntry | None], rows: Mapping[str, Vectors]) -> None:
        """Put the facts of some keys, and drop those of keys without one.

        Args:
            entries: key -> its new fact, visible at once; None: its fact is gone.
            rows: text -> its (dim,) vector, for all `texts_of` the new facts.
        """
        new: dict[str, list[FactEntry]] = {}
        for key, entry in entries.items():
            self._expiry.remove(key)
            if entry is None:
                self._drop(key)
            else:
                new.setdefault(key.tenant, []).append(entry)
                self._expiry.add(entry)
        for tenant, some in new.items():
            self._of(tenant).put_all(some, rows)

    def seen_by(self, tenant: str, now_s: float | None) -> list[TenantIndex]:
        """The indexes of a tenant's questions, its own first, with the facts that are valid at `now_s`.

        `now_s` is in seconds since 1970, UTC; None makes expired facts visible too.
        """
        for entry in self._expiry.newly_expired(now_s):
            self._drop(entry.fact.key)
        for entry in self._expiry.valid_again(now_s):
            self._of(entry.fact.key.tenant).put(entry)
        return self.shown_to(tenant)

    def shown_to(self, tenant: str) -> list[TenantIndex]:
        """The indexes of a tenant's questions as they are, its own first."""
        tenants = dict.fromkeys([tenant, DEFAULT_TENANT])
        return [self.by_tenant[name] for name in tenants if name in self.by_tenant]

    def _of(self, tenant: str) -> TenantIndex:
        if tenant not in self.by_tenant:
            self.by_tenant[tenant] = TenantIndex(self._encoder)
        return self.by_tenant[tenant]

    def _drop(self, key: FactKey) -> None:
        index = self.by_tenant.get(key.tenant)
        if index is None:
            return
        index.drop(key)
        if not index.entries:
            del self.by_tenant[key.tenant]
