"""Finding facts for a command: by id or subject, live or expired by the clock of whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.reading import LedgerReader


def find(ledger: LedgerReader, text: str) -> list[Fact]:
    """The facts of an id or a subject; UsageError for none."""
    found = ledger.find_fact(text)
    if not found:
        raise UsageError(
            f"no live fact has the id or the subject {text!r}, and none ever had that id: "
            "`guardedit facts list` shows them"
        )
    return found


def expired_facts(ledger: LedgerReader, epoch: int, *, now_s: float) -> list[Fact]:
    """Facts of the epoch whose time is over, and those that a coordinator took out for that before it."""
    live = ledger.live(epoch)
    gone = [_last(ledger, key, epoch) for key in _taken_out(ledger, epoch) if key not in live]
    return [
        *(fact for fact in gone if fact is not None and fact.expired(now_s)),
        *(fact for fact in live.values() if fact.expired(now_s)),
    ]


def _taken_out(ledger: LedgerReader, epoch: int) -> Iterator[FactKey]:
    keys = (
        FactKey(*change["key"])
        for _, _, body in ledger.events(kinds=("epoch",))
        if body["kind"] == "expire" and body["number"] <= epoch
        for change in body["changes"]
    )
    yield from dict.fromkeys(keys)


def _last(ledger: LedgerReader, key: FactKey, epoch: int) -> Fact | None:
    """The fact that stood last for a key up to an epoch; None where it had none."""
    versions = [version for version in ledger.history(key) if version.epoch <= epoch]
    facts = [version.fact for version in versions if version.fact is not None]
    return facts[-1] if facts else None
