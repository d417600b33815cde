"""`guardedit facts`: the group of commands about facts; undo and redo."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.agent.reversal import changes_against
from guardedit.cli.epochs import epoch_row
from guardedit.cli.facts.inspect import FactName, history, list_, show_
from guardedit.cli.facts.kept import kept, release
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.runtime.coordinator_access import operating
from guardedit.runtime.opening import begun, existing
from guardedit.runtime.operator.facts import find_facts
from guardedit.settings import Settings

app = commands("Inspect facts, and undo or redo them.")
app.command("list", epilog=examples("guardedit facts list --placement weights"))(list_)
app.command("show", epilog=examples("guardedit facts show 'Danielle Darrieux'"))(show_)
app.command("history", epilog=examples("guardedit facts history 4f1c2a9b77e0d3c5"))(history)


@app.command(
    "undo",
    epilog=examples(
        "guardedit facts undo 4f1c2a9b77e0d3c5",
        "guardedit facts undo --source registry --key registry-1",
        "guardedit facts undo --source registry --key registry-1 --yes",
    ),
)
def undo(
    fact: Annotated[
        str | None, typer.Argument(metavar="[FACT]", help="The id of a fact, or a subject.")
    ] = None,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="Undo everything that this source wrote.", show_default=False
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="ID", help="Only what this key of the source signed.", show_default=False
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, --source only lists.")] = False,
) -> None:
    """Undo one fact, or everything that a source wrote.

    A fact is removed from memory or weights, no matter what was accepted after it. If it had superseded an
    older version, that version is live again. This makes a new epoch.

    With --source, every fact whose latest change came from there is replaced by its latest version from
    elsewhere, or removed; facts that it retracted come back. Without --yes they are listed and nothing
    changes.
    """
    settings = settings_from(home, policy, model)
    if (fact is None) == (source is None):
        raise UsageError("give either FACT or --source NAME")
    if fact is None:
        _undo_source(settings, source or "", key or "", yes=yes, output=output)
        return
    if yes or key is not None:
        raise UsageError("--key and --yes go with --source NAME")
    with existing(settings) as ledger:
        find_facts(ledger, fact)  # an unknown name fails before the model is loaded
    with progress(f"undoing {fact}"), operating(settings) as system:
        epoch = system.undo(fact)
    show.record(epoch_row(epoch), output)


@app.command("redo", epilog=examples("guardedit facts redo 4f1c2a9b77e0d3c5"))
def redo(
    fact: FactName,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Redo a fact that was undone.

    It returns to the placement that it had, memory or weights. This makes a new epoch.
    """
    settings = settings_from(home, policy, model)
    with existing(settings) as ledger:
        found = find_facts(ledger, fact)  # an unknown name fails before the model is loaded
    with progress(f"redoing {fact}"), operating(settings) as system:
        epoch = system.redo(found[0].id if len(found) == 1 else fact)
    show.record(epoch_row(epoch), output)


def _undo_source(settings: Settings, source: str, key: str, *, yes: bool, output: Output) -> None:
    with existing(settings) as ledger:
        changes = changes_against(ledger, source, key, now_s=time.time())
        live = ledger.live() if begun(ledger) else {}
    if yes and changes:
        with progress(f"undoing {len(changes)} facts"), operating(settings) as system:
            show.record(epoch_row(system.undo_source(source, key)), output)
        return
    rows = [
        {
            "subject": change.key.subject,
            "relation": change.key.relation,
            "tenant": change.key.tenant,
            "now": live[change.key].target if change.key in live else None,
            "then": change.fact.target if change.fact else None,
        }
        for change in changes
    ]
    show.rows(rows, ("subject", "relation", "now", "then"), output, empty="no present fact came from there")
    if rows:
        show.warn("nothing was changed: repeat the command with --yes to undo these")


app.command("kept", epilog=examples("guardedit facts kept", "guardedit facts kept --output json"))(kept)
app.command("release", epilog=examples("guardedit facts release 4f1c2a9b77e0d3c5"))(release)
