"""`guardedit facts`: what is live by the clock of who asks, how it came to be, and taking one fact back."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from guardedit.agent.kept import KeptFacts
from guardedit.cli.epochs import summary
from guardedit.cli.facts.find import expired_facts, find
from guardedit.cli.facts.kept import kept, release
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    Format,
    Home,
    Model,
    OneTenant,
    PolicyFile,
    commands,
    examples,
    settings_from,
)
from guardedit.cli.terminal.show import Output
from guardedit.core.fact import Fact, Placement
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.door import operating
from guardedit.runtime.opening import begun, existing, number_of

app = commands("Facts: list, show, history, undo, redo, kept, release.")
app.command("kept", epilog=examples("guardedit facts kept", "guardedit facts kept --output json"))(kept)
app.command("release", epilog=examples("guardedit facts release 4f1c2a9b77e0d3c5"))(release)

Which = Annotated[str, typer.Argument(metavar="FACT", help="Id of a fact, or a subject.")]


@app.command("list", epilog=examples("guardedit facts list --placement weights"))
def list_(
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    placement: Annotated[Placement | None, typer.Option(help="Only facts placed there.")] = None,
    tenant: OneTenant = None,
    epoch: Annotated[str, typer.Option(help="As of this epoch: a number or a ref.")] = "serving",
    expired: Annotated[
        bool, typer.Option("--expired", help="Instead those whose time is over, with the time.")
    ] = False,
) -> None:
    """List the live facts, the latest change last. A fact whose time is over by this clock is not live."""
    now_s = time.time()
    with existing(settings_from(home)) as ledger:
        facts = _facts(ledger, epoch, expired=expired, now_s=now_s) if begun(ledger) else []
    chosen = [
        fact for fact in facts if placement in (None, fact.placement) and tenant in (None, fact.key.tenant)
    ]
    columns = ("id", "placement", "subject", "relation", "target", "tenant", "version")
    shown = (*columns, "valid_until") if expired else columns
    show.rows([described(fact) for fact in chosen], shown, output, empty="no facts")


def _facts(ledger: LedgerReader, epoch: str, *, expired: bool, now_s: float) -> list[Fact]:
    number = number_of(ledger, epoch)
    if expired:
        return expired_facts(ledger, number, now_s=now_s)
    return [fact for fact in ledger.live(number).values() if not fact.expired(now_s)]


@app.command("show", epilog=examples("guardedit facts show 'Danielle Darrieux'"))
def show_(fact: Which, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show one fact, or all of a subject: wordings, placement and why, and where it came from."""
    now_s = time.time()
    with existing(settings_from(home)) as ledger:
        told = [_whole(ledger, one, now_s=now_s) for one in find(ledger, fact)]
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
            for key in dict.fromkeys(one.key for one in find(ledger, fact))
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
        find(ledger, fact)  # before a model is loaded in vain
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
        find(ledger, fact)
    with operating(settings) as operator:
        show.record(summary(operator.redo(fact)), output)


def described(fact: Fact) -> dict[str, Any]:
    """A fact as a row."""
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
        "valid_until": show.moment(fact.valid_until_s),
    }


def _whole(ledger: LedgerReader, fact: Fact, *, now_s: float) -> dict[str, Any]:
    """A fact with where it stands and why."""
    live = ledger.live() if begun(ledger) else {}
    receipt, decision = ledger.receipt(fact.correction_id), ledger.decision(fact.correction_id)
    why = KeptFacts(ledger).now().get(fact.id)
    return {
        **described(fact),
        "live": live.get(fact.key) == fact and not fact.expired(now_s),
        "expired": fact.expired(now_s),
        "wordings": list(fact.wordings),
        "kept_in_memory": f"{why.state}: {why.reason}" if why else None,
        "rule": decision["rule"] if decision else None,
        "reason": receipt.reason if receipt else None,
        "epoch": receipt.epoch if receipt else None,
    }
