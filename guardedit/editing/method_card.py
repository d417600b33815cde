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
        batch: `together` when the edits of a batch are computed at once, else `one by one`.
        needs_subject: whether the prompt must contain the subject.
        reads_live: whether an edit depends on the edits that are live when it is made.
        trained: whether an editor must be trained first (`guardedit editors train`).
        spreads: whether an edit changes all of `Setup.layers`; otherwise it changes `Setup.layer`, or the
            layers that the editor was trained on.
        settings: "edit" when the method uses `Setup.settings`, "joint" when it uses `Setup.joint`.
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
