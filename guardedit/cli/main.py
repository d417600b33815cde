"""The `guardedit` command: registers every command and group, in the order of the help."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from guardedit.cli import base_parts, dead_letters, epochs, export, held, policy
from guardedit.cli.ask import ask
from guardedit.cli.bench import commands as bench
from guardedit.cli.demo.command import demo
from guardedit.cli.editors import commands as editors
from guardedit.cli.evaluate import evaluate
from guardedit.cli.facts import commands as facts
from guardedit.cli.http import tokens
from guardedit.cli.http.mcp import mcp
from guardedit.cli.http.proxy import proxy
from guardedit.cli.http.serve import serve
from guardedit.cli.locate import commands as locate
from guardedit.cli.memory import commands as memory
from guardedit.cli.metrics import metrics
from guardedit.cli.model import commands as model
from guardedit.cli.operator.explain import explain
from guardedit.cli.operator.settle import settle
from guardedit.cli.probes import commands as probes
from guardedit.cli.publish import commands as publish
from guardedit.cli.run import run
from guardedit.cli.signing import keys
from guardedit.cli.status import status
from guardedit.cli.submit import submit
from guardedit.cli.terminal import show, streams
from guardedit.cli.terminal.failure import CommandGroup
from guardedit.cli.terminal.options import examples
from guardedit.cli.verify import verify
from guardedit.core.errors import RenamedWarning
from guardedit.version import VERSION

app = typer.Typer(
    name="guardedit",
    cls=CommandGroup,
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
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda given: _print_version(given=given),
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Continual knowledge editing for language models, with guardrails.

    Corrections are submitted to an inbox. A coordinator decides about each one by a policy, answers from
    memory at once, and moves facts into the model's weights after a trial. Everything is recorded in a
    ledger, and every step can be undone.

    Settings come from GUARDEDIT_* environment variables; options override them.

    Exit codes: 0 success, 1 failure, 2 wrong usage or invalid policy, 3 a correction is held for a person,
    4 conflict with another process, 141 the reader of the output has gone.
    """
    del version


def _print_version(*, given: bool) -> None:
    if given:
        typer.echo(VERSION)
        raise typer.Exit


app.command(
    epilog=examples(
        "guardedit demo",
        "guardedit demo --corrections 80 --runtime local --no-unguarded",
        "guardedit demo --model smollm2",
    )
)(demo)
app.command(
    epilog=examples("guardedit run --runtime ray", "guardedit run --once --policy policies/memory-only.yaml")
)(run)
app.command(
    epilog=examples(
        "guardedit submit corrections.jsonl",
        "tail -f feed.jsonl | guardedit submit -",
        "guardedit submit corrections.jsonl --sign registry-1.key",
    )
)(submit)
app.command(epilog=examples("guardedit status", "guardedit status --watch"))(status)
app.command(epilog=examples("guardedit settle --timeout 600"))(settle)
app.command(epilog=examples("guardedit explain hq-17"))(explain)
app.command(epilog=examples("guardedit ask 'The capital of Norway is' --output json"))(ask)
app.command(
    epilog=examples("guardedit serve", "guardedit serve --listen 127.0.0.1:9000 --alias gpt-4o-mini")
)(serve)
app.command(
    epilog=examples(
        "guardedit proxy --upstream http://127.0.0.1:11434",
        "guardedit proxy --upstream https://api.openai.com --listen 127.0.0.1:9000",
    )
)(proxy)
app.command(epilog=examples("guardedit mcp --home /var/lib/guardedit"))(mcp)
app.add_typer(facts.app, name="facts")
app.add_typer(epochs.app, name="epochs")
app.add_typer(export.app, name="export")
app.add_typer(publish.app, name="publish")
app.add_typer(model.app, name="model")
app.add_typer(probes.app, name="probes")
app.add_typer(editors.app, name="editors")
app.add_typer(held.app, name="held")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(tokens.app, name="tokens")
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")
app.add_typer(base_parts.app, name="base")
app.add_typer(locate.app, name="locate")
app.add_typer(memory.app, name="memory")
app.add_typer(bench.app, name="bench")
app.command(
    epilog=examples(
        "guardedit evaluate counterfact counterfact.json --through weights --n 200",
        "guardedit evaluate zsre zsre_mend_eval.json --through memory --output json",
    )
)(evaluate)
app.command(epilog=examples("guardedit verify", "guardedit verify --ledger-only"))(verify)
app.command(epilog=examples("guardedit metrics | grep guardedit_corrections"))(metrics)


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print our own warnings as a line. Those of libraries are for developers and keep Python's format."""
    if issubclass(category, RenamedWarning):
        show.warn(str(message))
    else:
        _python_showwarning(message, category, *where, **more)


_python_showwarning = warnings.showwarning


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
