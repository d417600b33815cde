"""Whether the base is what it was when the ledger's facts and edits were made on it.

The ledger knows the digest of every part, from the first start on, as events of kind `base`. Parts that are
collected again when they are lost may be missing; whatever is there must have the recorded digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardedit.assembly.base_parts import (
    ABSENT,
    DAMAGED,
    DERIVED,
    base_parts,
    folds,
    kind_of,
    path_of,
)
from guardedit.core.errors import UsageError, WrongBaseModel
from guardedit.ledger.epochs import LAST_GOOD, SERVING
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.settings import Settings

EVENT = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the base, as recorded and as found; `ABSENT` for a file that is not there."""

    name: str
    path: Path
    recorded: str
    found: str

    @property
    def state(self) -> str:
        """`same`, `changed`, `new` (collected since), `lost` or `damaged`, which are collected again."""
        if self.recorded == self.found:
            return "same"
        if kind_of(self.name) in DERIVED:
            states = {ABSENT: "lost", DAMAGED: "damaged"}
            return states.get(self.found, "new" if self.recorded == ABSENT else "changed")
        return "changed"

    @property
    def known(self) -> str:
        """What to record: what is found, or else what was recorded."""
        if self.found not in (ABSENT, DAMAGED):
            return self.found
        return ABSENT if self.recorded == DAMAGED else self.recorded

    def __str__(self) -> str:
        return f"{self.name}: {self.path} is {self.found[:12]}, recorded is {self.recorded[:12]}"


def check_base(settings: Settings, ledger: SqliteLedger) -> None:
    """Compare the base with what the ledger knows, and record what it does not know yet; at every start.

    Raises:
        WrongBaseModel: naming every part that was changed, both digests and the remedy.
    """
    compare_base(settings, ledger)
    note_new_parts(settings, ledger)


def note_new_parts(settings: Settings, ledger: SqliteLedger) -> None:
    """Record what was collected since the ledger last knew, and all of it the first time.

    For whoever writes the ledger, as often as wanted: a large file is read again only when it was touched.
    """
    recorded, parts = recorded_parts(ledger), parts_of_base(settings, ledger)
    new = {part.name: part.known for part in parts if not recorded or part.state == "new"}
    if new:
        ledger.note(EVENT, {"parts": {**recorded, **new}})


def compare_base(settings: Settings, ledger: LedgerReader, *, cache: Path | None = None) -> list[Part]:
    """All parts, none of them changed; for anybody who can read the ledger.

    Raises:
        WrongBaseModel: as `check_base`.
    """
    parts = parts_of_base(settings, ledger, cache=cache)
    if changed := [part for part in parts if part.state == "changed"]:
        raise WrongBaseModel(_refusal(settings, ledger, changed))
    return parts


def parts_of_base(settings: Settings, ledger: LedgerReader, *, cache: Path | None = None) -> list[Part]:
    """Every part that is recorded or found; those of a ledger that knows none yet are all the same.

    Args:
        settings: where the files are.
        ledger: of which model, and what was recorded.
        cache: folder of second moments; default: the home folder's.
    """
    base = ledger.base_sha256
    found = base_parts(settings, base, cache=cache)
    recorded = recorded_parts(ledger) or found
    return [
        Part(
            name=name,
            path=path_of(settings, base, name),
            recorded=recorded.get(name, ABSENT),
            found=found.get(name, ABSENT),
        )
        for name in sorted({*found, *recorded})
    ]


def recorded_parts(ledger: LedgerReader) -> Mapping[str, str]:
    """Name -> digest as last recorded; empty before the first start of a coordinator that records them."""
    events = ledger.events(kinds=(EVENT,))
    parts: Mapping[str, str] = events[-1][2]["parts"] if events else {}
    return parts


def accept_base(
    settings: Settings, ledger: SqliteLedger, names: Sequence[str], *, by: str, base_sha256: str | None = None
) -> list[Part]:
    """Record the named parts as they are now; who did it and when stays in the ledger.

    Args:
        settings: where the files are.
        ledger: open for writing.
        names: of parts, or of kinds: then all changed parts of that kind.
        by: who says so.
        base_sha256: of the model as it is now, which must be the ledger's; needed for `weights` and `config`.

    Raises:
        UsageError: a name is that of no changed part; or edits in the weights were folded with it.
        WrongBaseModel: the ledger belongs to another model.
    """
    changed = [part for part in parts_of_base(settings, ledger) if part.state == "changed"]
    chosen = [part for part in changed if {part.name, kind_of(part.name)} & {*names}]
    if strange := sorted({*names} - {name for part in chosen for name in (part.name, kind_of(part.name))}):
        known = ", ".join(part.name for part in changed) or "none"
        raise UsageError(f"{', '.join(strange)}: nothing of that name was changed; changed: {known}")
    if base_sha256 is not None and base_sha256 != ledger.base_sha256:
        raise WrongBaseModel(
            f"{settings.home} belongs to base model {ledger.base_sha256[:12]}, this is {base_sha256[:12]}: "
            "another model needs a folder of its own, name one with --home"
        )
    _refuse_under_edits(settings, ledger, chosen)
    told = {part.name: {"recorded": part.recorded, "found": part.found} for part in chosen}
    now = {**recorded_parts(ledger), **{part.name: part.found for part in chosen}}
    ledger.note(EVENT, {"parts": now, "accepted": told, "by": by})
    return chosen


def edits_on_base(ledger: LedgerReader) -> int:
    """How many weight edits the serving and the last good epoch have, whichever has more."""
    return max(len(ledger.edits(ledger.ref(name))) for name in (SERVING, LAST_GOOD))


def _refuse_under_edits(settings: Settings, ledger: LedgerReader, parts: Sequence[Part]) -> None:
    names = ", ".join(part.name for part in parts if folds(settings, part.name))
    if names and (edits := edits_on_base(ledger)):
        raise UsageError(
            f"{names} cannot be accepted: {edits} edits in the weights were made and are folded with what "
            "was there before. Put that back, or take the edits out first: `guardedit epochs rollback` to an "
            "epoch without any"
        )


def _refusal(settings: Settings, ledger: LedgerReader, changed: Sequence[Part]) -> str:
    told = "; ".join(map(str, changed))
    if any(kind_of(part.name) in ("weights", "config") for part in changed):
        return (
            f"{settings.home} belongs to base model {ledger.base_sha256[:12]}, of which this was changed: "
            f"{told}. Put it back and load that model, or give this one another folder; where its tensors "
            "are the same, `guardedit base accept weights config` says that it is meant"
        )
    names = " ".join(part.name for part in changed)
    return (
        f"the base of {settings.home} was changed: {told}. Put back what was there; or, if it is meant, say "
        f"`guardedit base accept {names}`"
        + (
            ", which needs a serving epoch without edits in the weights"
            if any(folds(settings, part.name) for part in changed)
            else ""
        )
    )
