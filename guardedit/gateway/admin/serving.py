"""Runs the operators' interface beside a coordinator, and tells other commands of this user where it is."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from guardedit.core.errors import UsageError
from guardedit.gateway.admin.app import admin_app
from guardedit.gateway.admin.office import Office
from guardedit.gateway.admin.playground import Playground
from guardedit.gateway.listening import Listener, in_thread, is_loopback
from guardedit.policy.schema import Policy
from guardedit.runtime.coordinator_access import ADMIN_FILE
from guardedit.runtime.system import System
from guardedit.settings import DEFAULT_ADMIN, Address, Settings

#: Largest body of a request: many corrections at once.
MOST_BYTES = 2**20


@contextmanager
def admin_server(settings: Settings, policy: Policy, system: System, address: Address) -> Iterator[str]:
    """Serve the interface from a thread until the block ends; yields its address.

    Reading needs no token unless the settings say so. Only loopback addresses are allowed, since there is no
    TLS. If the default port is taken, as by another coordinator, a free one is used.

    Raises:
        UsageError: the address cannot be used.
    """
    if not is_loopback(address.host):
        raise UsageError(
            f"GUARDEDIT_ADMIN is {address.host}, which other machines can reach: use a loopback address, "
            "and a reverse proxy with TLS in front of it"
        )
    open_to_read = settings.admin_reading == "open"
    office = Office(
        settings,
        system,
        open_to_read=open_to_read,
        limit=policy.guard.perplexity_ratio_to_base,
        own=secrets.token_urlsafe(32),
    )
    listener = Listener(address=address)
    if address == DEFAULT_ADMIN and not _is_free(listener):
        listener = replace(listener, address=Address(address.host, 0))
    with (
        closing(Playground(settings, policy, system)) as asked,
        in_thread(listener, admin_app(office, asked), most_bytes=MOST_BYTES) as url,
        _published(settings.home / ADMIN_FILE, url, office.own),
    ):
        yield url


def _is_free(listener: Listener) -> bool:
    try:
        listener.bind().close()
    except UsageError:
        return False
    return True


@contextmanager
def _published(path: Path, url: str, token: str) -> Iterator[None]:
    """A file with address and token that only this user can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": url, "token": token}, file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
