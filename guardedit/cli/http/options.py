"""Options that say where a server listens and who may ask, and the listener that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.settings import parse_address

if TYPE_CHECKING:
    from guardedit.gateway.listening import Listener

#: The variable with the key that clients must send.
KEY = "GUARDEDIT_SERVE_KEY"

Listen = Annotated[
    str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 chooses a free one.")
]
Certificate = Annotated[
    Path | None,
    typer.Option("--tls-certificate", metavar="FILE", help="Certificate for TLS, PEM.", show_default=False),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="FILE", help="Private key for TLS, PEM.", show_default=False),
]
OpenToAll = Annotated[
    bool,
    typer.Option(
        "--open-to-all", help="Allow an address that other machines reach, without a key or without TLS."
    ),
]


def listener_of(
    listen: str, key: str, certificate: Path | None, private_key: Path | None, *, open_to_all: bool
) -> Listener:
    """The listener that the options ask for.

    Raises:
        UsageError: the address is none, or not allowed without a key and TLS.
    """
    from guardedit.gateway.listening import Listener

    return Listener(
        address=parse_address("--listen", listen),
        key=key,
        certificate=certificate,
        private_key=private_key,
        open_to_all=open_to_all,
    )
