"""`guardedit epochs`: what was served when, with which verdict, and serving an earlier one again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.epoch import Epoch
from guardedit.runtime.door import operating
from guardedit.runtime.opening import existing, number_of

app = commands("Epochs: list, show, rollback.")

Which = Annotated[str, typer.Argument(metavar="EPOCH", help="A number, or a ref such as last-good.")]


@app.command("list", epilog=examples("guardedit epochs list", "guardedit epochs list --output json"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List all epochs, the newest last."""
    with existing(settings_from(home)) as ledger:
        epochs, refs = ledger.epochs(), ledger.refs()
    told = [
        {**summary(epoch), "refs": [name for name, number in refs.items() if number == epoch.number]}
        for epoch in epochs
    ]
    short = [{**item, "weights": item["weights_sha256"][:12]} for item in told]
    columns = ("epoch", "kind", "at", "edits", "weights", "refs", "reason")
    show.rows(told if output is Output.JSON else short, columns, output, empty="no epoch yet")


@app.command("show", epilog=examples("guardedit epochs show last-good"))
def show_(epoch: Which, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show one epoch: hashes, what it changed, and every gate of the verdict that let it be served."""
    with existing(settings_from(home)) as ledger:
        number = number_of(ledger, epoch)
        found, verdict = ledger.epoch(number), ledger.verdict(number)
        facts = list(ledger.live(number).values())
        before = ledger.live(number - 1) if number else {}
    changed = [fact for fact in facts if before.get(fact.key) != fact]
    gone = set(before) - {fact.key for fact in facts}
    told = {
        **summary(found),
        "facts": len(facts),
        "verdict": verdict["outcome"] if verdict else None,
        "gates": _gates(verdict) if verdict else [],
        "changed": [
            {"fact": fact.id, "key": str(fact.key), "target": fact.target, "placement": fact.placement.value}
            for fact in changed
        ],
        "gone": [str(key) for key in sorted(gone)],
    }
    show.record(told, output)


@app.command(
    "rollback", epilog=examples("guardedit epochs rollback 12", "guardedit epochs rollback last-good --facts")
)
def rollback(
    epoch: Which,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    facts: Annotated[
        bool, typer.Option("--facts", help="Also forget every fact accepted since, not only its place.")
    ] = False,
) -> None:
    """Serve the weights of an earlier epoch again, as a new epoch.

    Facts accepted since then stay live: those that were in the weights answer from memory.
    """
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        number = number_of(ledger, epoch)
    with operating(settings) as operator:
        show.record(summary(operator.roll_back(number, facts_too=facts)), output)


def summary(epoch: Epoch) -> dict[str, Any]:
    """An epoch as a row."""
    return {
        "epoch": epoch.number,
        "kind": epoch.kind,
        "reason": epoch.reason,
        "at": show.moment(epoch.created_at_s),
        "edits": len(epoch.edits),
        "weights_sha256": epoch.weights_sha256,
        "state_sha256": epoch.state_sha256,
        "policy_sha256": epoch.policy_sha256,
    }


def _gates(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("name", "value", "limit", "outcome", "shadow", "detail")
    return [{name: gate.get(name) for name in names} for gate in verdict["gates"]]
