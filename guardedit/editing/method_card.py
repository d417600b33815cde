"""What a method says of itself: for people who choose, and for the tests that hold it to its word."""

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
        undo: `exact` when leaving an edit out gives the bytes as if it had never been made and no other
            edit was made for its presence; `in order` when later edits were made on top of it.
        batch: `together` when the facts of a batch are computed at once, `one by one` otherwise.
        needs_subject: the subject must stand in the prompt.
        reads_live: an edit depends on what is live when it is made.
        trained: an editor must be trained first (`guardedit editors train`).
        spreads: an edit changes all of `Setup.layers`; else `Setup.layer`, or the layers of its training.
        dials: which of the setup's dials it is steered by.
        deviations: where it differs from the publication, one sentence each.
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
    dials: Literal["edit", "joint"] = "edit"
    deviations: tuple[str, ...] = ()
