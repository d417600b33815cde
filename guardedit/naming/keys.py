"""Decide whether two keys are the same. Everything that compares keys of facts does it by `key_name`."""

from __future__ import annotations

from guardedit.core.fact import FactKey
from guardedit.naming.words import identity


def key_name(key: FactKey) -> FactKey:
    """The comparable form of a key: equal for equal keys. The tenant is compared letter by letter.

    >>> key_name(FactKey("APPLE", "Ceo")) == key_name(FactKey("Apple", "CEO"))
    True
    >>> key_name(FactKey("Apple", "CEO", "acme")) == key_name(FactKey("Apple", "CEO"))
    False
    """
    return FactKey(identity(key.subject), identity(key.relation), key.tenant, identity(key.target))
