"""`guardedit verify`: is everything what it was when it was written?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from guardedit.cli import show
from guardedit.cli.failure import Code
from guardedit.cli.opening import begun, existing
from guardedit.cli.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.show import Output
from guardedit.core.errors import GuardeditError
from guardedit.ledger.journal import SqliteLedger
from guardedit.settings import Settings


def verify(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    ledger_only: Annotated[
        bool, typer.Option("--ledger-only", help="Leave out what needs the model: fold hash and memory.")
    ] = False,
) -> None:
    """Check that everything is what it was.

    The hash chain, every table and blob, the fold hash of the serving epoch, and the memory.

    Each problem is a line, and the exit code is 1. Nothing is repaired.
    """
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        problems = ledger.verify()
        checked = ["ledger"]
        # Where the record itself is broken, a model that differs from it says nothing.
        if not (problems or ledger_only) and begun(ledger):
            problems = list(_beside_the_model(settings, ledger))
            checked += ["weights", "memory"]
        events = sum(1 for _ in ledger.log()) if not problems else None
    if output is Output.JSON:
        show.record({"sound": not problems, "checked": checked, "problems": problems}, output)
    else:
        for problem in problems or [f"sound: {', '.join(checked)}; {events} events"]:
            show.line({}, output, problem)
    if problems:
        raise typer.Exit(Code.FAILED)


def _beside_the_model(settings: Settings, ledger: SqliteLedger) -> Iterator[str]:
    """Fold the serving epoch's edits and rebuild the memory; LedgerError and the like become problems."""
    from guardedit import assembly
    from guardedit.memory.fact_sets import facts_sha256
    from guardedit.policy.load import load_policy

    rules = load_policy(settings.policy)
    bench = assembly.load_bench(settings, rules)
    epoch = ledger.epoch()
    if bench.host.base_sha256 != epoch.base_sha256:
        yield (
            f"model: {assembly.model_folder(settings)} has digest {bench.host.base_sha256[:12]}, the ledger "
            f"belongs to {epoch.base_sha256[:12]}: name the right one with --model"
        )
        return
    try:
        found = bench.fold.weights_sha256(ledger.edits())
        if found != epoch.weights_sha256:
            yield (
                f"weights: epoch {epoch.number} folds to {found[:12]}, recorded is "
                f"{epoch.weights_sha256[:12]}: the policy's editing section or the platform differs"
            )
    except GuardeditError as error:
        yield f"weights: {error}"
    facts = tuple(ledger.live().values())
    memory = assembly.load_memory(settings, rules)
    memory.rebuild(facts)
    if memory.digest() != facts_sha256(facts):
        yield f"memory: rebuilt from epoch {epoch.number} it holds other facts than the ledger"
