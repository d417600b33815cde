from __future__ import annotations

from guardedit.core.proposal import WeightEdit
from guardedit.editing.locate.cache import RecentEdits


def edit(name: str) -> WeightEdit:
    return WeightEdit(subject=name, facts=(name,), method="ridge", payload=name.encode())


def test_what_was_not_used_for_longest_is_forgotten_first():
    cache = RecentEdits(limit=2)
    cache.put("a", edit("a"))
    cache.put("b", edit("b"))
    assert cache.get("a") == edit("a")
    cache.put("c", edit("c"))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (edit("a"), None, edit("c"))
