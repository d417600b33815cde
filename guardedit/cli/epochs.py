"""`guardedit epochs`: the versions that were served, and serving an earlier one again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.epoch import Epoch
from guardedit.runtime.coordinator_access import operating
from guardedit.runtime.opening import existing, number_of
from guardedit.runtime.operator.epochs import EpochRecord, epoch_record

app = commands("Inspect epochs, and serve an earlier one again.")

EpochName = Annotated[
    str,
    typer.Argument(
        metavar="EPOCH",
        help="A number, a ref (serving or last-good), or a date for the epoch that was served then.",
    ),
]


@app.command("list", epilog=examples("guardedit epochs list", "guardedit epochs list --output json"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List all epochs, the newest last.

    An epoch is a numbered version of all facts and weight edits. The refs column shows which epoch is served,
    and which one the drift watch goes back to (last-good).
    """
    with existing(settings_from(home)) as ledger:
        epochs, refs = ledger.epochs(), ledger.refs()
    rows = [
        {**epoch_row(epoch), "refs": [name for name, number in refs.items() if number == epoch.number]}
        for epoch in epochs
    ]
    if output is Output.TABLE:
        rows = [{**row, "weights": row["weights_sha256"][:12]} for row in rows]
    columns = ("epoch", "kind", "at", "edits", "weights", "refs", "reason")
    show.rows(rows, columns, output, empty="no epoch yet")


@app.command("show", epilog=examples("guardedit epochs show last-good"))
def show_(epoch: EpochName, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Show one epoch in detail.

    Its digests, the facts that it changed, and the verdict of its trial with the value and limit of every
    gate.
    """
    with existing(settings_from(home)) as ledger:
        record = epoch_record(ledger, number_of(ledger, epoch, now_s=time.time()))
    show.record(_record_fields(record), output)


@app.command(
    "rollback", epilog=examples("guardedit epochs rollback 12", "guardedit epochs rollback last-good --facts")
)
def rollback(
    epoch: EpochName,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    facts: Annotated[
        bool,
        typer.Option("--facts", help="Also remove every fact that was accepted after that epoch."),
    ] = False,
) -> None:
    """Serve the weights of an earlier epoch again.

    This makes a new epoch. Facts accepted after the earlier epoch stay live, unless --facts is given: those
    that were in the weights answer from memory from now on.
    """
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        number = number_of(ledger, epoch, now_s=time.time())
    with progress(f"rolling back to epoch {number}"), operating(settings) as system:
        made = system.roll_back(number, facts_too=facts)
    show.record(epoch_row(made), output)


def epoch_row(epoch: Epoch) -> dict[str, Any]:
    """An epoch as a row of a table."""
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


def _record_fields(record: EpochRecord) -> dict[str, Any]:
    verdict = record.verdict
    return {
        **epoch_row(record.epoch),
        "facts": record.facts,
        "verdict": verdict["outcome"] if verdict else None,
        "gates": [_gate_row(gate) for gate in verdict["gates"]] if verdict else [],
        "changed": [
            {"fact": fact.id, "key": str(fact.key), "target": fact.target, "placement": fact.placement.value}
            for fact in record.changed
        ],
        "gone": [str(key) for key in record.removed],
    }


def _gate_row(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: gate.get(name) for name in ("name", "value", "limit", "outcome", "shadow", "detail")}
