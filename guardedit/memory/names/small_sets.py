"""Tables of small sets. A set is a tuple while it is small, since most have one member, and a dict later."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)

_SMALL = 8


def add_member(table: dict[Key, tuple[Member, ...] | dict[Member, None]], key: Key, member: Member) -> None:
    """Add a member that the set of this key does not have."""
    old = table.get(key, ())
    if isinstance(old, dict):
        old[member] = None
    elif len(old) < _SMALL:
        table[key] = (*old, member)
    else:
        table[key] = dict.fromkeys((*old, member))


def discard_member(
    table: dict[Key, tuple[Member, ...] | dict[Member, None]], key: Key, member: Member
) -> None:
    """Remove a member of the set of this key. An empty set is removed."""
    old = table[key]
    left: Collection[Member]
    if isinstance(old, dict):
        del old[member]
        left = old
    else:
        left = table[key] = tuple(other for other in old if other != member)
    if not left:
        del table[key]
