"""Who was turned away from the weights, and until when: read from the ledger's events.

An edit that harms is turned away for good. One that only found the layer full is asked again once edits
have left it, because what was too much then may fit now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

#: Reason code of a fact that stays in memory because the edited layer has no room for it.
FULL = "full"
KINDS = ("turned_away", "epoch")


def is_full(reason: str) -> bool:
    """Whether a fact was turned away because the layer had no room for it.

    >>> is_full("full: passes alone, not beside the others"), is_full("reliability 0 < 1")
    (True, False)
    """
    return reason.partition(":")[0] == FULL


def after(reasons: Mapping[str, str], kind: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Fact id -> reason after one more event; `kind` is one of `KINDS`.

    >>> after({"f1": "full", "f2": "harm"}, "epoch", {"edits_removed": ["e"], "edits_added": []})
    {'f2': 'harm'}
    """
    if kind == "turned_away":
        return {**reasons, **body["reasons"]}
    if len(body["edits_removed"]) > len(body["edits_added"]):
        return {fact: reason for fact, reason in reasons.items() if not is_full(reason)}
    return dict(reasons)


class Events(Protocol):
    """The part of a ledger that is read here."""

    def events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Iterable[tuple[int, str, Mapping[str, Any]]]:
        """(seq, kind, body), oldest first."""


class TurnedAway:
    """Fact id -> reason, as the ledger has it; reads on where it stopped."""

    def __init__(self, ledger: Events) -> None:
        self._ledger, self._seen = ledger, 0
        self._reasons: dict[str, str] = {}

    def now(self) -> Mapping[str, str]:
        """Those turned away at this moment."""
        for seq, kind, body in self._ledger.events(since=self._seen, kinds=KINDS):
            self._reasons, self._seen = after(self._reasons, kind, body), seq
        return self._reasons
