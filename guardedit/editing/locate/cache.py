"""A cache of finished edits: proposing a fact again costs nothing and gives the same bytes.

The content key is a digest of everything that an edit depends on.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from guardedit.core.proposal import WeightEdit


class EditCache(Protocol):
    """Content key -> edit; may drop entries at any time."""

    def get(self, content_key: str) -> WeightEdit | None:
        """The edit stored under this key, or None."""

    def put(self, content_key: str, edit: WeightEdit) -> None:
        """Store an edit."""


class RecentEdits:
    """The `limit` most recently used edits, in memory."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._edits: OrderedDict[str, WeightEdit] = OrderedDict()

    def get(self, content_key: str) -> WeightEdit | None:
        """The edit stored under this key, or None."""
        edit = self._edits.get(content_key)
        if edit is not None:
            self._edits.move_to_end(content_key)
        return edit

    def put(self, content_key: str, edit: WeightEdit) -> None:
        """Store an edit; beyond the limit the least recently used one is dropped."""
        self._edits[content_key] = edit
        self._edits.move_to_end(content_key)
        if len(self._edits) > self._limit:
            self._edits.popitem(last=False)
