"""Finished edits by content key, so that a fact proposed again costs nothing and gives the same bytes.

Knows the protocol and an in-memory cache. A durable one is given from outside.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from guardedit.core.proposal import WeightEdit


class EditCache(Protocol):
    """A map from content key to edit that may forget at any time."""

    def get(self, content_key: str) -> WeightEdit | None:
        """The edit made before under this key, if it is still known."""

    def put(self, content_key: str, edit: WeightEdit) -> None:
        """Remember an edit."""


class RecentEdits:
    """The `limit` edits used last, in this process's memory."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._edits: OrderedDict[str, WeightEdit] = OrderedDict()

    def get(self, content_key: str) -> WeightEdit | None:
        """The edit made before under this key, if it is still known."""
        edit = self._edits.get(content_key)
        if edit is not None:
            self._edits.move_to_end(content_key)
        return edit

    def put(self, content_key: str, edit: WeightEdit) -> None:
        """Remember an edit, forgetting the one not used for longest when there are too many."""
        self._edits[content_key] = edit
        self._edits.move_to_end(content_key)
        if len(self._edits) > self._limit:
            self._edits.popitem(last=False)
