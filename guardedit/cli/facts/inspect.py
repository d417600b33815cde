"""`guardedit facts list`, `show` and `history`: print facts and their changes."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import AsOf, Format, Home, OneTenant, RecordedAt, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.ledger.history import Version
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun, existing, moment_s, number_of
from guardedit.runtime.operator.as_of import facts_as_of
from guardedit.runtime.operator.facts import (
    FactRecord,
    expired_facts,
    fact_history,
    fact_record,
    find_facts,
    live_facts,
)

FactName = Annotated[str, typer.Argument(metavar="FACT", help="The id of a fact, or a subject.")]


def list_(
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    placement: Annotated[
        Placement | None, typer.Option(help="List only facts that are answered from here.")
    ] = None,
    tenant: OneTenant = None,
    epoch: RecordedAt = "serving",
    as_of: AsOf = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="List the expired facts instead of the live ones.")
    ] = False,
) -> None:
    """List the live facts, the latest change last.

    With --as-of, those that hold at that time: the version of each fact that had begun by then and had not
    ended. A fact holds from its valid_from, else from when it was reported, until its valid_until or until a
    later version begins. --epoch with a date asks for what was recorded by then; both can be combined.

    A fact with a valid_until expires at that time by this computer's clock, whether or not a coordinator
    runs.
    """
    now_s = time.time()
    if expired and as_of is not None:
        raise UsageError("give either --expired or --as-of: an expired fact does not hold")
    at_s = None if as_of is None else moment_s(as_of, "--as-of")
    with existing(settings_from(home)) as ledger:
        number = number_of(ledger, epoch, now_s=now_s) if begun(ledger) else None
        facts = _chosen(ledger, number, at_s, now_s=now_s, expired=expired) if number is not None else []
    rows = [
        fact_row(fact)
        for fact in facts
        if placement in (None, fact.placement) and tenant in (None, fact.key.tenant)
    ]
    columns = ("id", "placement", "subject", "relation", "target", "tenant", "version")
    times = ("valid_from",) * (as_of is not None) + ("valid_until",) * (expired or as_of is not None)
    show.rows(rows, (*columns, *times), output, empty="no facts")


def _chosen(
    ledger: LedgerReader, epoch: int, at_s: float | None, *, now_s: float, expired: bool
) -> list[Fact]:
    if at_s is not None:
        return facts_as_of(ledger, at_s, epoch=epoch)
    return (expired_facts if expired else live_facts)(ledger, epoch, now_s=now_s)


def show_(fact: FactName, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show one fact, or all facts about a subject.

    Its wordings, its placement and why it has that placement, and the correction and rule that it came from.
    """
    now_s = time.time()
    with existing(settings_from(home)) as ledger:
        rows = [_record_fields(fact_record(ledger, one, now_s=now_s)) for one in find_facts(ledger, fact)]
    if output is Output.JSON:
        show.rows(rows, (), output, empty="")
    for index, row in enumerate(rows if output is Output.TABLE else ()):
        show.record(row if index == 0 else {"": "", **row}, output)


def history(fact: FactName, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """List every recorded change of a fact.

    All versions, moves between memory and weights, and removals, oldest first.
    """
    with existing(settings_from(home)) as ledger:
        rows = [_history_row(*change) for change in fact_history(ledger, fact)]
    columns = ("epoch", "kind", "at", "key", "version", "placement", "target", "correction")
    show.rows(rows, columns, output, empty="no history")


def fact_row(fact: Fact) -> dict[str, Any]:
    """A fact as a row of a table."""
    return {
        "id": fact.id,
        "placement": fact.placement.value,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "tenant": fact.key.tenant,
        "scope": fact.key.tenant,  # the old name, for one version
        "prompt": fact.prompt,
        "target": fact.target,
        "version": fact.version,
        "correction": fact.correction_id,
        "method": fact.method or None,
        "valid_from": show.moment(fact.valid_from_s),
        "valid_until": show.moment(fact.valid_until_s),
    }


def _record_fields(record: FactRecord) -> dict[str, Any]:
    kept, decision, receipt = record.kept, record.decision, record.receipt
    return {
        **fact_row(record.fact),
        "live": record.live,
        "expired": record.expired,
        "aliases": list(record.fact.aliases),
        "wordings": list(record.fact.wordings),
        "kept_in_memory": f"{kept.state}: {kept.reason}" if kept else None,
        "rule": decision["rule"] if decision else None,
        "signed_by": decision.get("signed_by") or None if decision else None,
        "reason": receipt.reason if receipt else None,
        "epoch": receipt.epoch if receipt else None,
    }


def _history_row(key: FactKey, epoch: Epoch, version: Version) -> dict[str, Any]:
    fact = version.fact
    return {
        "epoch": epoch.number,
        "kind": epoch.kind,
        "at": show.moment(epoch.created_at_s),
        "key": str(key),
        "id": fact.id if fact else None,
        "version": fact.version if fact else None,
        "placement": fact.placement if fact else "gone",
        "target": fact.target if fact else None,
        "correction": version.correction_id,
    }
