"""Finds facts for an operator: by id or subject, live, expired, or kept in memory; and their history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.kept import Kept, KeptFacts
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Receipt
from guardedit.ledger.history import Version
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.opening import begun


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRecord:
    """A fact and what the ledger says about it.

    Attributes:
        fact: the fact.
        live: whether it is live in the serving epoch and has not expired.
        expired: whether its `valid_until` has passed.
        kept: why it stays out of the weights; None where nothing keeps it out.
        decision: the policy's decision about its correction, as recorded; None without one.
        receipt: what became of its correction; None where no correction made it.
    """

    fact: Fact
    live: bool
    expired: bool
    kept: Kept | None
    decision: Mapping[str, Any] | None
    receipt: Receipt | None


def find_facts(ledger: LedgerReader, text: str) -> list[Fact]:
    """The live facts with this id or about this subject; else those that were removed.

    Raises:
        UsageError: there is none.
    """
    found = ledger.find_fact(text) or ledger.removed_facts(text)
    if not found:
        raise UsageError(
            f"no fact, live or removed, has the id or the subject {text!r}: "
            "list the facts with `guardedit facts list`"
        )
    return found


def live_facts(ledger: LedgerReader, epoch: int, *, now_s: float) -> list[Fact]:
    """Live facts of an epoch that have not expired at `now_s`, the latest change last."""
    return [fact for fact in ledger.live(epoch).values() if not fact.expired(now_s)]


def expired_facts(ledger: LedgerReader, epoch: int, *, now_s: float) -> list[Fact]:
    """Facts that have expired at `now_s`.

    First those that a coordinator has removed because they expired, up to this epoch; then those that are
    still recorded as live in it.
    """
    live = ledger.live(epoch)
    removed = [_last_fact(ledger, key, epoch) for key in _expired_keys(ledger, epoch) if key not in live]
    return [
        *(fact for fact in removed if fact is not None and fact.expired(now_s)),
        *(fact for fact in live.values() if fact.expired(now_s)),
    ]


def kept_facts(ledger: LedgerReader, *, now_s: float) -> list[tuple[Fact, Kept]]:
    """The live facts that the policy wants in the weights and that stay in memory, with the reason."""
    if not begun(ledger):
        return []
    reasons: Mapping[str, Kept] = KeptFacts(ledger).now()
    return [
        (fact, reasons[fact.id])
        for fact in ledger.live().values()
        if fact.id in reasons and fact.placement is Placement.MEMORY and not fact.expired(now_s)
    ]


def release_facts(ledger: SqliteLedger, names: Sequence[str], *, now_s: float) -> Iterator[Fact]:
    """Let facts be tried for the weights again; yields each one that was released.

    Args:
        ledger: open for writing.
        names: ids of facts, or subjects.
        now_s: seconds since 1970, UTC; expired facts cannot be released.

    Raises:
        UsageError: nothing keeps a fact of this name out of the weights.
    """
    kept = {fact.id for fact, _ in kept_facts(ledger, now_s=now_s)}
    for name in names:
        chosen = [fact for fact in find_facts(ledger, name) if fact.id in kept]
        if not chosen:
            raise UsageError(
                f"nothing keeps {name!r} out of the weights: "
                "list what can be released with `guardedit facts kept`"
            )
        for fact in chosen:
            ledger.release_fact(fact.id)
            yield fact


def fact_record(ledger: LedgerReader, fact: Fact, *, now_s: float) -> FactRecord:
    """Everything that the ledger says about one fact."""
    live = ledger.live() if begun(ledger) else {}
    expired = fact.expired(now_s)
    return FactRecord(
        fact=fact,
        live=live.get(fact.key) == fact and not expired,
        expired=expired,
        kept=KeptFacts(ledger).now().get(fact.id),
        decision=ledger.decision(fact.correction_id),
        receipt=ledger.receipt(fact.correction_id),
    )


def fact_history(ledger: LedgerReader, text: str) -> list[tuple[FactKey, Epoch, Version]]:
    """Every recorded change of the facts that `text` names, key by key, each oldest first.

    Raises:
        UsageError: as `find_facts`.
    """
    epochs = {epoch.number: epoch for epoch in ledger.epochs()}
    keys = dict.fromkeys(fact.key for fact in find_facts(ledger, text))
    return [(key, epochs[version.epoch], version) for key in keys for version in ledger.history(key)]


def _expired_keys(ledger: LedgerReader, epoch: int) -> Iterator[FactKey]:
    """Keys that a coordinator removed because their facts had expired, each once."""
    keys = (
        FactKey(*change["key"])
        for _, _, body in ledger.events(kinds=("epoch",))
        if body["kind"] == "expire" and body["number"] <= epoch
        for change in body["changes"]
    )
    yield from dict.fromkeys(keys)


def _last_fact(ledger: LedgerReader, key: FactKey, epoch: int) -> Fact | None:
    """The last fact of a key up to an epoch; None where it never had one."""
    facts = [
        version.fact for version in ledger.history(key) if version.epoch <= epoch and version.fact is not None
    ]
    return facts[-1] if facts else None
