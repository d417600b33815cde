"""`guardedit mcp`: tools for language models, over standard input and output."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from guardedit.cli.terminal.options import Home, settings_from
from guardedit.core.errors import UsageError
from guardedit.runtime.coordinator_access import admin_address
from guardedit.settings import DEFAULT_ADMIN

#: The variable with the token, which decides about the tools.
TOKEN = "GUARDEDIT_TOKEN"  # noqa: S105 - the name of a variable


def mcp(
    *,
    home: Home = None,
    url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Address of the coordinator's HTTP interface. Default: that of the one which runs in the "
            "home folder.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Offer tools to a language model over the Model Context Protocol.

    Without a token the tools are `ask`, `find_facts` and `explain`. With a token of `guardedit tokens add` in
    $GUARDEDIT_TOKEN, a submitter also has `submit_correction`, an operator `undo`, and an admin both. Speaks
    on standard input and output; a coordinator must run.
    """
    try:
        from guardedit.gateway.mcp_server import OfficeClient, mcp_server
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs the package {error.name}: pip install 'guardedit[mcp]'") from None
    address, trusted = (url, None) if url else admin_address(settings_from(home))
    address = address or f"http://{DEFAULT_ADMIN.host}:{DEFAULT_ADMIN.port}"
    mcp_server(OfficeClient(address, os.environ.get(TOKEN, "").strip(), trusted)).run("stdio")
