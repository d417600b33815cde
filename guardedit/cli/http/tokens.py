"""`guardedit tokens`: who may use the operators' interface, and for what."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.gateway.admin.tokens import Role, Tokens

app = commands("Make and revoke tokens for the operators' HTTP interface.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the person or program, for the audit record.")]


@app.command("add", epilog=examples("guardedit tokens add ann --role operator"))
def add(
    name: Name,
    *,
    home: Home = None,
    role: Annotated[Role, typer.Option(help="What the token is for.", show_default=False)],
    source: Annotated[
        str,
        typer.Option(
            help="Corrections submitted with this token have this source, and no other token can claim it.",
            show_default=False,
        ),
    ] = "",
    output: Format = Output.TABLE,
) -> None:
    """Make a token and print it. It is not stored and cannot be shown again.

    A viewer reads, a submitter sends corrections, an approver decides about held ones, an operator undoes,
    redoes, rolls back and handles dead letters, an admin may do everything.
    """
    secret = Tokens(settings_from(home).home).add(name, role, source=source, at_s=time.time())
    show.line({"name": name, "role": role.value, "token": secret}, output, secret)


@app.command("list", epilog=examples("guardedit tokens list"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the tokens, without their secrets."""
    rows = [
        {
            "name": token.name,
            "role": token.role.value,
            "source": token.source or None,
            "made": show.moment(token.created_at_s),
        }
        for token in Tokens(settings_from(home).home).all()
    ]
    show.rows(rows, ("name", "role", "source", "made"), output, empty="no tokens")


@app.command("revoke", epilog=examples("guardedit tokens revoke ann"))
def revoke(name: Name, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Revoke a token. It ends at once, also in a running coordinator."""
    Tokens(settings_from(home).home).revoke(name)
    show.line({"name": name, "revoked": True}, output, f"{name}: revoked")
