"""The `guardedit` command: one line for each command and group, in the order of the help."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

import guardedit
from guardedit.cli import base_parts, dead_letters, epochs, held, policy
from guardedit.cli.ask import ask
from guardedit.cli.bench import commands as bench
from guardedit.cli.demo.command import demo
from guardedit.cli.editors import commands as editors
from guardedit.cli.facts import commands as facts
from guardedit.cli.locate import commands as locate
from guardedit.cli.metrics import metrics
from guardedit.cli.run import run
from guardedit.cli.status import status
from guardedit.cli.submit import submit
from guardedit.cli.terminal import show, streams
from guardedit.cli.terminal.failure import Commands
from guardedit.cli.terminal.options import examples
from guardedit.cli.verify import verify
from guardedit.core.renamed import RenamedWarning

app = typer.Typer(
    name="guardedit",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "guardedit submit corrections.jsonl",
        "guardedit run --once",
        "guardedit ask 'The capital of Norway is'",
    ),
)


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda asked: _version(asked=asked))
    ] = False,
) -> None:
    """Continual knowledge editing for language models, with guardrails.

    Settings come from GUARDEDIT_* variables; options override them. Exit codes: 0 ok, 1 failed, 2 usage or
    invalid policy, 3 held, 4 conflict, 141 the reader of the output is gone.
    """
    del version


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(guardedit.__version__)
        raise typer.Exit


app.command(
    epilog=examples("guardedit demo", "guardedit demo --corrections 80 --runtime local --no-unguarded")
)(demo)
app.command(
    epilog=examples("guardedit run --runtime ray", "guardedit run --once --policy policies/memory-only.yaml")
)(run)
app.command(epilog=examples("guardedit submit corrections.jsonl", "tail -f feed.jsonl | guardedit submit -"))(
    submit
)
app.command(epilog=examples("guardedit status", "guardedit status --watch"))(status)
app.command(epilog=examples("guardedit ask 'The capital of Norway is' --output json"))(ask)
app.add_typer(facts.app, name="facts")
app.add_typer(epochs.app, name="epochs")
app.add_typer(editors.app, name="editors")
app.add_typer(held.app, name="held")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(policy.app, name="policy")
app.add_typer(base_parts.app, name="base")
app.add_typer(locate.app, name="locate")
app.add_typer(bench.app, name="bench")
app.command(epilog=examples("guardedit verify", "guardedit verify --ledger-only"))(verify)
app.command(epilog=examples("guardedit metrics | grep guardedit_corrections"))(metrics)


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Warnings of ours are a line; whatever a library has to say is for its developers."""
    if issubclass(category, RenamedWarning):
        show.warn(str(message))
    else:
        _as_before(message, category, *where, **more)


_as_before = warnings.showwarning


def main() -> None:
    """Entry point of the console script."""
    streams.prepare()
    warnings.showwarning = _warn
    code = 0
    try:
        app(prog_name="guardedit")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    sys.exit(streams.finish(code))
