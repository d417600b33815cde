"""Lists the base model's files as recorded in the ledger and as found, and accepts changed ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from guardedit.core.errors import UsageError
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.opening import begun, existing
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import BasePart

#: Kinds of parts that decide which model is loaded.
MODEL_KINDS = frozenset({"weights", "config"})


def parts_in(settings: Settings) -> list[BasePart]:
    """Every part of the base, as recorded and as found.

    Raises:
        UsageError: there is no ledger, or it belongs to no model yet.
    """
    from guardedit import assembly

    with existing(settings) as ledger:
        _require_epoch(settings, ledger)
        return assembly.parts_of_base(settings, ledger)


def accept_parts(settings: Settings, names: Sequence[str], *, by: str) -> list[BasePart]:
    """Record changed parts of the base as they are now.

    If one of the parts decides which model is loaded, the model is loaded in order to compute its digest.

    Args:
        settings: model and home folder.
        names: names of parts, or of kinds. A kind stands for all changed parts of that kind.
        by: the person who accepts the change; recorded.

    Raises:
        LedgerBusy: a coordinator runs.
        UsageError: no part of this name has changed, or edits in the weights depend on it.
        WrongBaseModel: the model is not the one that the ledger belongs to.
    """
    from guardedit import assembly

    with existing(settings) as ledger:
        _require_epoch(settings, ledger)
    with SqliteLedger.open(settings.home, clock=time.time, key=settings.ledger_key) as ledger:
        kinds = {name.partition("/")[0] for name in names}
        base_sha256 = None
        if kinds & MODEL_KINDS and not assembly.edits_on_base(ledger):
            base_sha256 = assembly.load_host(settings).base_sha256
        return assembly.accept_base(settings, ledger, names, by=by, base_sha256=base_sha256)


def _require_epoch(settings: Settings, ledger: LedgerReader) -> None:
    if not begun(ledger):
        raise UsageError(
            f"the ledger in {settings.home} belongs to no base model yet: start `guardedit run` once"
        )
