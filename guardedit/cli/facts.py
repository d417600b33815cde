"""`guardedit facts`: what is live, how it came to be, and taking one fact back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli import show
from guardedit.cli.epochs import summary
from guardedit.cli.opening import begun, existing, number_of
from guardedit.cli.operator import operating
from guardedit.cli.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.show import Output
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, Placement
from guardedit.ledger.reading import LedgerReader

app = commands("Facts: list, show, history, undo, redo.")

Which = Annotated[str, typer.Argument(metavar="FACT", help="Id of a fact, or a subject.")]


@app.command("list", epilog=examples("guardedit facts list --placement weights"))
def list_(
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    placement: Annotated[Placement | None, typer.Option(help="Only facts placed there.")] = None,
    scope: Annotated[str | None, typer.Option(help="Only facts of this scope.")] = None,
    epoch: Annotated[str, typer.Option(help="As of this epoch: a number or a ref.")] = "serving",
) -> None:
    """List the live facts, the latest change last."""
    with existing(settings_from(home)) as ledger:
        live = ledger.live(number_of(ledger, epoch)).values() if begun(ledger) else ()
        chosen = [
            fact for fact in live if placement in (None, fact.placement) and scope in (None, fact.key.scope)
        ]
    columns = ("id", "placement", "subject", "relation", "target", "scope", "version")
    show.rows([described(fact) for fact in chosen], columns, output, empty="no facts")


@app.command("show", epilog=examples("guardedit facts show 'Danielle Darrieux'"))
def show_(fact: Which, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show one fact, or all of a subject: wordings, placement and why, and where it came from."""
    with existing(settings_from(home)) as ledger:
        live = ledger.live() if begun(ledger) else {}
        found = _find(ledger, fact)
        told = []
        for one in found:
            receipt = ledger.receipt(one.correction_id)
            decision = ledger.decision(one.correction_id)
            told.append(
                {
                    **described(one),
                    "live": live.get(one.key) == one,
                    "wordings": list(one.wordings),
                    "kept_in_memory": _turned_away(ledger, one.id),
                    "rule": decision["rule"] if decision else None,
                    "reason": receipt.reason if receipt else None,
                    "epoch": receipt.epoch if receipt else None,
                }
            )
    if output is Output.JSON:
        show.rows(told, (), output, empty="")
    for index, item in enumerate(told if output is Output.TABLE else ()):
        show.record(item if index == 0 else {"": "", **item}, output)


@app.command("history", epilog=examples("guardedit facts history 4f1c2a9b77e0d3c5"))
def history(fact: Which, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show every recorded change of a fact's key: versions, moves between memory and weights, retractions."""
    with existing(settings_from(home)) as ledger:
        kinds = {epoch.number: epoch for epoch in ledger.epochs()}
        told = [
            {
                "epoch": version.epoch,
                "kind": kinds[version.epoch].kind,
                "at": show.moment(kinds[version.epoch].created_at_s),
                "key": str(key),
                "id": version.fact.id if version.fact else None,
                "version": version.fact.version if version.fact else None,
                "placement": version.fact.placement if version.fact else "gone",
                "target": version.fact.target if version.fact else None,
                "correction": version.correction_id,
            }
            for key in dict.fromkeys(one.key for one in _find(ledger, fact))
            for version in ledger.history(key)
        ]
    columns = ("epoch", "kind", "at", "key", "version", "placement", "target", "correction")
    show.rows(told, columns, output, empty="no history")


@app.command("undo", epilog=examples("guardedit facts undo 4f1c2a9b77e0d3c5"))
def undo(
    fact: Which,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Take one fact back, whatever came after it; an older version becomes live again. A new epoch."""
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        _find(ledger, fact)  # before a model is loaded in vain
    with operating(settings) as operator:
        show.record(summary(operator.undo(fact)), output)


@app.command("redo", epilog=examples("guardedit facts redo 4f1c2a9b77e0d3c5"))
def redo(
    fact: Which,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Bring an undone fact back, in the placement it had. A new epoch."""
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        _find(ledger, fact)
    with operating(settings) as operator:
        show.record(summary(operator.redo(fact)), output)


def described(fact: Fact) -> dict[str, Any]:
    """A fact as a row."""
    return {
        "id": fact.id,
        "placement": fact.placement.value,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "scope": fact.key.scope,
        "prompt": fact.prompt,
        "target": fact.target,
        "version": fact.version,
        "correction": fact.correction_id,
        "method": fact.method or None,
        "valid_until": show.moment(fact.valid_until_s),
    }


def _find(ledger: LedgerReader, text: str) -> list[Fact]:
    found = ledger.find_fact(text)
    if not found:
        raise UsageError(
            f"no live fact has the id or the subject {text!r}, and none ever had that id: "
            "`guardedit facts list` shows them"
        )
    return found


def _turned_away(ledger: LedgerReader, fact_id: str) -> str | None:
    """Why the fact did not get into the weights; None when nobody turned it away."""
    for _, _, body in ledger.events(kinds=("turned_away",)):
        if fact_id in body["reasons"]:
            return str(body["reasons"][fact_id])
    return None
