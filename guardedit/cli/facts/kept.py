"""`guardedit facts kept` and `release`: what the policy wants in the weights, and why it stays out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardedit.agent.kept import Kept, KeptFacts
from guardedit.cli.facts.find import find
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, Placement
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun, changing, existing

_COLUMNS = ("fact", "subject", "state", "code", "reason", "evidence", "since")


def kept(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the facts that the policy wants in the weights but that answer from memory, with the reason.

    State kept: the layer is full, the edit harms, or the editor refused it. quarantined: after a breach, or
    taken out by an operator. undecided: tried again with more probes. held: too often undecided, a person has
    to look. Evidence is the epoch that shows it.
    """
    with existing(settings_from(home)) as ledger:
        found = kept_now(ledger, now_s=time.time())
    told = [_row(fact, why) for fact, why in found]
    told.sort(key=lambda row: row["since"] or "")
    show.rows(told, _COLUMNS, output, empty="no fact is kept out of the weights")


def release(
    facts: Annotated[list[str], typer.Argument(metavar="FACT...", help="Ids of facts, or subjects.")],
    *,
    home: Home = None,
    output: Format = Output.TABLE,
) -> None:
    """Let facts be tried for the weights again that something keeps out of them."""
    with changing(settings_from(home)) as ledger:
        out = {fact.id for fact, _ in kept_now(ledger, now_s=time.time())}
        for text in facts:
            chosen = [fact for fact in find(ledger, text) if fact.id in out]
            if not chosen:
                raise UsageError(
                    f"nothing keeps {text!r} out of the weights: `guardedit facts kept` lists what is kept"
                )
            for fact in chosen:
                ledger.release_fact(fact.id)
                told = {"fact": fact.id, "subject": fact.key.subject, "released": True}
                show.line(told, output, f"{fact.id} ({fact.key.subject}): released, may be promoted again")


def kept_now(ledger: LedgerReader, *, now_s: float) -> list[tuple[Fact, Kept]]:
    """The live facts in memory that something keeps out of the weights, and what."""
    if not begun(ledger):
        return []
    why: Mapping[str, Kept] = KeptFacts(ledger).now()
    return [
        (fact, why[fact.id])
        for fact in ledger.live().values()
        if fact.id in why and fact.placement is Placement.MEMORY and not fact.expired(now_s)
    ]


def _row(fact: Fact, why: Kept) -> dict[str, Any]:
    return {
        "fact": fact.id,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "target": fact.target,
        "correction": fact.correction_id,
        "state": why.state,
        "code": why.code,
        "reason": why.reason,
        "evidence": why.epoch,
        "tries": why.tries,
        "since": show.moment(why.since_s),
    }
