"""`guardedit verify`: is everything what it was when it was written?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import GuardeditError
from guardedit.ledger.opening import anchor as anchor_anew
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun, existing
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.policy.schema import Policy


def verify(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    ledger_only: Annotated[
        bool,
        typer.Option("--ledger-only", help="Leave out what needs the model: its files, fold hash, memory."),
    ] = False,
    anchor: Annotated[
        bool,
        typer.Option(
            "--anchor",
            help="Accept the record as it ends now and sign that, as after GUARDEDIT_LEDGER_KEY was set.",
        ),
    ] = False,
) -> None:
    """Check that everything is what it was.

    The hash chain, every table and blob, the files of the base model, the fold hash of the serving epoch, and
    the memory.

    Each problem is a line, and the exit code is 1. Nothing is repaired, and nothing written.
    """
    settings = settings_from(home, policy, model)
    if anchor:
        anchor_anew(settings.home, key=settings.ledger_key)
    with existing(settings) as ledger:
        problems = ledger.verify()
        checked = ["ledger"]
        # Where the record itself is broken, a model that differs from it says nothing.
        if not (problems or ledger_only) and begun(ledger):
            problems = list(_files(settings, ledger)) or list(_beside_the_model(settings, ledger))
            checked += ["base", "weights", "memory"]
        events = sum(1 for _ in ledger.log()) if not problems else None
    if output is Output.JSON:
        show.record({"sound": not problems, "checked": checked, "problems": problems}, output)
    else:
        for problem in problems or [f"sound: {', '.join(checked)}; {events} events"]:
            show.line({}, output, problem)
    if problems:
        raise typer.Exit(Code.FAILED)


def _files(settings: Settings, ledger: LedgerReader) -> Iterator[str]:
    """Parts of the base that are not what the ledger knows. Model and home folder need no writing for it."""
    from guardedit import assembly

    parts = [
        part for part in assembly.parts_of_base(settings, ledger) if part.state in ("changed", "damaged")
    ]
    for part in parts:
        yield f"base: {part}"
    # One sentence for all of them: of another model, nearly everything is another.
    if any(part.name.startswith(("weights", "config")) for part in parts):
        yield (
            f"model: {assembly.model_folder(settings)} is not what the ledger belongs to, base model "
            f"{ledger.base_sha256[:12]}: put back what was changed, or name the right one with --model"
        )
    elif parts:
        yield "base: put back what was there; see `guardedit base show` and `guardedit base accept`"


def _beside_the_model(settings: Settings, ledger: LedgerReader) -> Iterator[str]:
    """Fold the serving epoch's edits and rebuild the memory; LedgerError and the like become problems."""
    from guardedit import assembly
    from guardedit.policy.load import load_policy

    rules = load_policy(settings.policy)
    with assembly.borrowed_cache(settings) as cache:
        bench = assembly.load_model(settings, rules, cache=cache)
        base = ledger.base_sha256
        if bench.host.base_sha256 != base:
            yield (
                f"model: {assembly.model_folder(settings)} has digest {bench.host.base_sha256[:12]}, the "
                f"ledger belongs to {base[:12]}: name the right one with --model"
            )
            return
        # What was lost has been collected again.
        for part in assembly.parts_of_base(settings, ledger, cache=cache):
            if part.state == "changed":
                yield f"base: collected again, {part}"
        yield from _weights(bench, ledger)
    yield from _memory(settings, rules, ledger)


def _weights(bench: LoadedModel, ledger: LedgerReader) -> Iterator[str]:
    epoch = ledger.epoch()
    try:
        found = bench.fold.weights_sha256(ledger.edits())
    except GuardeditError as error:
        yield f"weights: {error}"
        return
    if found != epoch.weights_sha256:
        yield (
            f"weights: epoch {epoch.number} folds to {found[:12]}, recorded is "
            f"{epoch.weights_sha256[:12]}: the policy's editing section or the platform differs"
        )


def _memory(settings: Settings, rules: Policy, ledger: LedgerReader) -> Iterator[str]:
    from guardedit import assembly
    from guardedit.memory.fact_sets import facts_sha256

    facts = tuple(ledger.live().values())
    memory = assembly.load_memory(settings, rules)
    memory.rebuild(facts)
    if memory.digest() != facts_sha256(facts):
        yield f"memory: rebuilt from epoch {ledger.epoch().number} it holds other facts than the ledger"
