"""`guardedit base`: the files that answers depend on, as recorded and as found."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.opening import begun, existing
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import Part

app = commands("The base model's files and what was collected from it: show, accept.")


@app.command("show", epilog=examples("guardedit base show"))
def show_(*, home: Home = None, model: Model = None, output: Format = Output.TABLE) -> None:
    """Show every part of the base: digest in the ledger, digest now, and whether that is the same.

    Weights, configuration, tokenizer, chat template, probes, background, edit card, encoder, second moments.
    """
    from guardedit import assembly

    settings = settings_from(home, model=model)
    with existing(settings) as ledger:
        _refuse_without_epoch(settings, ledger)
        parts = assembly.parts_of_base(settings, ledger)
    told = [_told(part) for part in parts]
    columns = ("part", "state", "recorded", "found", "file")
    if output is Output.TABLE:
        told = [{**row, "recorded": row["recorded"][:12], "found": row["found"][:12]} for row in told]
    show.rows(told, columns, output, empty="no parts")


@app.command("accept", epilog=examples("guardedit base accept probes", "guardedit base accept tokenizer"))
def accept(
    parts: Annotated[
        list[str], typer.Argument(metavar="PART...", help="As `base show` names them, or kinds.")
    ],
    *,
    home: Home = None,
    model: Model = None,
    output: Format = Output.TABLE,
    by: Annotated[
        str | None, typer.Option("--by", help="Who says so; else the user's name.", show_default=False)
    ] = None,
) -> None:
    """Let changed parts of the base be as they are now, and record it.

    Weights, configuration, tokenizer, background, edit card and second moments only while no edit is in the
    weights: edits were made with what was there before, and would fold to other weights.

    No coordinator may run meanwhile.
    """
    from guardedit import assembly

    settings = settings_from(home, model=model)
    with existing(settings) as ledger:
        _refuse_without_epoch(settings, ledger)
    with SqliteLedger.open(settings.home, clock=time.time, key=settings.ledger_key) as ledger:
        base = _loaded(settings, ledger, parts)
        accepted = assembly.accept_base(settings, ledger, parts, by=by or _user(), base_sha256=base)
    for part in accepted:
        text = f"{part.name}: accepted as {part.found[:12]}, was {part.recorded[:12]}"
        show.line(_told(part), output, text)


def _told(part: Part) -> dict[str, str]:
    return {
        "part": part.name,
        "state": part.state,
        "recorded": part.recorded,
        "found": part.found,
        "file": str(part.path),
    }


def _refuse_without_epoch(settings: Settings, ledger: LedgerReader) -> None:
    if not begun(ledger):
        raise UsageError(
            f"the ledger in {settings.home} belongs to no base model yet: `guardedit run` begins it"
        )


def _loaded(settings: Settings, ledger: SqliteLedger, names: Sequence[str]) -> str | None:
    """Digest of the model as it is now, where accepting these parts could make it another one."""
    from guardedit import assembly

    kinds = {name.partition("/")[0] for name in names}
    if not kinds & {"weights", "config"} or assembly.edits_on_base(ledger):
        return None
    return assembly.load_host(settings).base_sha256


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
