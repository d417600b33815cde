"""The description of an editing method: for people who choose one, and for the tests that check it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["locate-then-edit", "fine-tuning", "meta-learning", "side memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """One method.

    Attributes:
        family: what kind of method it is.
        paper: authors, year, arXiv number.
        stores: what one edit keeps in the ledger.
        undo: `exact` when leaving an edit out gives the weights as if it had never been made, and no other
            edit depends on it; `in order` when later edits were made on top of it.
        batch: `together` when the facts of a batch are computed at once, else `one by one`.
        needs_subject: the prompt must contain the subject.
        reads_live: an edit depends on the edits that are live when it is made.
        trained: an editor must be trained first (`guardedit editors train`).
        spreads: an edit changes all of `Setup.layers`; else `Setup.layer`, or the layers of its training.
        settings: whether the method uses `Setup.settings` ("edit") or `Setup.joint` ("joint").
        deviations: how it differs from the publication, one sentence each.
    """

    family: Family
    paper: str
    stores: str
    undo: Literal["exact", "in order"]
    batch: Literal["together", "one by one"]
    needs_subject: bool = True
    reads_live: bool = True
    trained: bool = False
    spreads: bool = False
    settings: Literal["edit", "joint"] = "edit"
    deviations: tuple[str, ...] = ()
