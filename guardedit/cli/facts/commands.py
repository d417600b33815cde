"""`guardedit facts`: the group of commands about facts; undo and redo."""

from __future__ import annotations

from guardedit.cli.epochs import epoch_row
from guardedit.cli.facts.inspect import FactName, history, list_, show_
from guardedit.cli.facts.kept import kept, release
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.runtime.coordinator_access import operating
from guardedit.runtime.opening import existing
from guardedit.runtime.operator.facts import find_facts

app = commands("Inspect facts, and undo or redo them.")
app.command("list", epilog=examples("guardedit facts list --placement weights"))(list_)
app.command("show", epilog=examples("guardedit facts show 'Danielle Darrieux'"))(show_)
app.command("history", epilog=examples("guardedit facts history 4f1c2a9b77e0d3c5"))(history)


@app.command("undo", epilog=examples("guardedit facts undo 4f1c2a9b77e0d3c5"))
def undo(
    fact: FactName,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Undo one fact.

    The fact is removed from memory or weights, no matter what was accepted after it. If it had superseded an
    older version, that version is live again. This makes a new epoch.
    """
    settings = settings_from(home, policy, model)
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


app.command("kept", epilog=examples("guardedit facts kept", "guardedit facts kept --output json"))(kept)
app.command("release", epilog=examples("guardedit facts release 4f1c2a9b77e0d3c5"))(release)
