"""Checks that the base model's files are those with which the ledger's facts and edits were made.

The ledger records the digest of every part in events of kind `base`, from the first start on. Parts that can
be collected again may be missing. Every part that exists must have the recorded digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardedit.assembly.base_parts import (
    ABSENT,
    DAMAGED,
    DERIVED,
    PREPARED,
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
class BasePart:
    """One part of the base model, as recorded and as found. The digest of a missing file is `ABSENT`.

    `addable`: the part may be added where there was none, because nothing was made without it.
    """

    name: str
    path: Path
    recorded: str
    found: str
    addable: bool = False

    @property
    def state(self) -> str:
        """`same`, `changed`, `new` (made since), or `lost` or `damaged` (will be collected again)."""
        if self.recorded == self.found:
            return "same"
        if kind_of(self.name) in DERIVED:
            states = {ABSENT: "lost", DAMAGED: "damaged"}
            return states.get(self.found, "new" if self.recorded == ABSENT else "changed")
        if self.addable and self.recorded == ABSENT:
            return "new"
        return "changed"

    @property
    def known(self) -> str:
        """The digest to record: the one found, else the one recorded."""
        if self.found not in (ABSENT, DAMAGED):
            return self.found
        return ABSENT if self.recorded == DAMAGED else self.recorded

    def __str__(self) -> str:
        return f"{self.name}: {self.path} is {self.found[:12]}, recorded is {self.recorded[:12]}"


def check_base(settings: Settings, ledger: SqliteLedger) -> None:
    """Compare the base model with the ledger's record, and record new parts. Called at every start.

    Raises:
        WrongBaseModel: a part was changed; names each such part, both digests and the remedy.
    """
    compare_base(settings, ledger)
    record_new_parts(settings, ledger)


def record_new_parts(settings: Settings, ledger: SqliteLedger) -> None:
    """Record parts that were collected since the last record; the first time, record all parts.

    May be called often: a large file is read again only if it was touched.
    """
    recorded, parts = recorded_parts(ledger), parts_of_base(settings, ledger)
    new = {part.name: part.known for part in parts if not recorded or part.state == "new"}
    if new:
        ledger.note(EVENT, {"parts": {**recorded, **new}})


def compare_base(settings: Settings, ledger: LedgerReader, *, cache: Path | None = None) -> list[BasePart]:
    """All parts, after a check that none was changed. Needs only read access to the ledger.

    Raises:
        WrongBaseModel: as `check_base`.
    """
    parts = parts_of_base(settings, ledger, cache=cache)
    if changed := [part for part in parts if part.state == "changed"]:
        raise WrongBaseModel(_refusal(settings, ledger, changed))
    return parts


def parts_of_base(settings: Settings, ledger: LedgerReader, *, cache: Path | None = None) -> list[BasePart]:
    """Every part that is recorded or found. If the ledger has no record yet, all parts are `same`.

    Args:
        settings: where the files are.
        ledger: the base model and the recorded digests.
        cache: folder of second moments; default: the one in the home folder.
    """
    base = ledger.base_sha256
    found = base_parts(settings, base, cache=cache)
    recorded = recorded_parts(ledger) or found
    # A model that was served without edits in the weights may be prepared for them later.
    unedited = bool(recorded_parts(ledger)) and not edits_on_base(ledger)
    return [
        BasePart(
            name=name,
            path=path_of(settings, base, name),
            recorded=recorded.get(name, ABSENT),
            found=found.get(name, ABSENT),
            addable=unedited and name in PREPARED,
        )
        for name in sorted({*found, *recorded})
    ]


def recorded_parts(ledger: LedgerReader) -> Mapping[str, str]:
    """Name -> last recorded digest; empty if no coordinator has recorded any yet."""
    events = ledger.events(kinds=(EVENT,))
    parts: Mapping[str, str] = events[-1][2]["parts"] if events else {}
    return parts


def accept_base(
    settings: Settings, ledger: SqliteLedger, names: Sequence[str], *, by: str, base_sha256: str | None = None
) -> list[BasePart]:
    """Record changed parts as they are now. The ledger keeps who accepted them and when.

    Args:
        settings: where the files are.
        ledger: open for writing.
        names: names of parts, or of kinds. A kind stands for all changed parts of that kind.
        by: the person who accepts the change.
        base_sha256: digest of the model as it is now, which must be the one in the ledger; needed for
            `weights` and `config`.

    Raises:
        UsageError: no changed part has this name; or edits in the weights were folded with a named part.
        WrongBaseModel: the ledger belongs to another model.
    """
    changed = [part for part in parts_of_base(settings, ledger) if part.state == "changed"]
    chosen = [part for part in changed if {part.name, kind_of(part.name)} & {*names}]
    if unknown := sorted({*names} - {name for part in chosen for name in (part.name, kind_of(part.name))}):
        names_of_changed = ", ".join(part.name for part in changed) or "none"
        raise UsageError(
            f"{', '.join(unknown)}: no changed part has this name; changed parts: {names_of_changed}"
        )
    if base_sha256 is not None and base_sha256 != ledger.base_sha256:
        raise WrongBaseModel(
            f"{settings.home} belongs to base model {ledger.base_sha256[:12]}, this is {base_sha256[:12]}: "
            "use another folder for another model, with --home"
        )
    _refuse_under_edits(settings, ledger, chosen)
    accepted = {part.name: {"recorded": part.recorded, "found": part.found} for part in chosen}
    now = {**recorded_parts(ledger), **{part.name: part.found for part in chosen}}
    ledger.note(EVENT, {"parts": now, "accepted": accepted, "by": by})
    return chosen


def edits_on_base(ledger: LedgerReader) -> int:
    """The number of weight edits of the serving or of the last good epoch, whichever has more."""
    return max(len(ledger.edits(ledger.ref(name))) for name in (SERVING, LAST_GOOD))


def _refuse_under_edits(settings: Settings, ledger: LedgerReader, parts: Sequence[BasePart]) -> None:
    names = ", ".join(part.name for part in parts if folds(settings, part.name))
    if names and (edits := edits_on_base(ledger)):
        raise UsageError(
            f"{names} cannot be accepted: {edits} edits in the weights were made with the old files and are "
            "folded with them. Restore the old files, or first roll back to an epoch without edits in the "
            "weights (`guardedit epochs rollback`)"
        )


def _refusal(settings: Settings, ledger: LedgerReader, changed: Sequence[BasePart]) -> str:
    details = "; ".join(map(str, changed))
    if any(kind_of(part.name) in ("weights", "config") for part in changed):
        return (
            f"{settings.home} belongs to base model {ledger.base_sha256[:12]}, whose files were changed: "
            f"{details}. Restore them, or use another folder for the new model; if its tensors are the same, "
            "accept the change with `guardedit base accept weights config`"
        )
    names = " ".join(part.name for part in changed)
    return (
        f"files of the base model of {settings.home} were changed: {details}. Restore them or, if the change "
        f"is intended, accept it with `guardedit base accept {names}`"
        + (
            ", which needs a serving epoch without edits in the weights"
            if any(folds(settings, part.name) for part in changed)
            else ""
        )
    )
