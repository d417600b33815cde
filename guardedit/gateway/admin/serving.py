"""Runs the operators' interface beside a coordinator, and tells other commands of this user where it is."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from guardedit.core.errors import UsageError
from guardedit.gateway.admin.app import admin_app
from guardedit.gateway.admin.office import Office
from guardedit.gateway.listening import Listener, is_loopback
from guardedit.policy.schema import Policy
from guardedit.runtime.coordinator_access import ADMIN_FILE
from guardedit.runtime.system import System
from guardedit.settings import DEFAULT_ADMIN, Address, Settings

#: Largest body of a request: many corrections at once.
MOST_BYTES = 2**20


@contextmanager
def admin_server(
    settings: Settings,
    policy: Policy,
    system: System,
    address: Address,
    *,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> Iterator[str]:
    """Serve the interface from a thread until the block ends; yields its address.

    On a loopback address, reading needs no token unless the settings say so; elsewhere everything needs one,
    and TLS. If the default port is taken, as by another coordinator, a free one is used.

    Raises:
        UsageError: the address cannot be used.
    """
    open_to_read = is_loopback(address.host) and settings.admin_reading == "open"
    office = Office(
        settings,
        system,
        open_to_read=open_to_read,
        limit=policy.guard.perplexity_ratio_to_base,
        own=secrets.token_urlsafe(32),
    )
    listener = Listener(
        address=address,
        certificate=certificate,
        private_key=private_key,
        asks_for_tokens=True,
    )
    try:
        bound = listener.bind()
    except UsageError:
        if address != DEFAULT_ADMIN:
            raise
        listener = replace(listener, address=Address(address.host, 0))
        bound = listener.bind()
    with bound:
        server = listener.server(admin_app(office), most_bytes=MOST_BYTES)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [bound]}, name="guardedit-admin", daemon=True
        )
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        url = listener.url(bound)
        with _published(settings.home / ADMIN_FILE, url, office.own):
            try:
                yield url
            finally:
                server.should_exit = True
                thread.join()


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
