"""Runs the operators' interface beside a coordinator, and tells other commands of this user where it is."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from guardedit.core.errors import UsageError
from guardedit.gateway.admin.app import admin_app
from guardedit.gateway.admin.office import Office
from guardedit.gateway.admin.playground import Playground
from guardedit.gateway.admin.tokens import Tokens
from guardedit.gateway.checking import is_loopback
from guardedit.gateway.listening import Listener, in_thread
from guardedit.policy.schema import Policy
from guardedit.runtime.coordinator_access import ADMIN_FILE
from guardedit.runtime.system import System
from guardedit.settings import DEFAULT_ADMIN, Address, Settings

#: Largest body of a request: many corrections at once.
MOST_BYTES = 2**20
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@contextmanager
def admin_server(settings: Settings, policy: Policy, system: System, address: Address) -> Iterator[str]:
    """Serve the interface from a thread until the block ends; yields its address.

    Reading needs no token on a loopback address, unless the settings say so. If the default port is taken, as
    by another coordinator, a free one is used.

    Raises:
        UsageError: see `check_admin`.
    """
    listener = _listener(settings, address)
    open_to_read = settings.admin_reading == "open" and is_loopback(address.host)
    office = Office(
        settings,
        system,
        open_to_read=open_to_read,
        own=secrets.token_urlsafe(32),
    )
    if address == DEFAULT_ADMIN and not _is_free(listener):
        listener = replace(listener, address=Address(address.host, 0))
    with (
        closing(Playground(settings, policy, system)) as asked,
        in_thread(listener, admin_app(office, asked), most_bytes=MOST_BYTES) as url,
        _published(settings, url, office.own),
    ):
        yield url


def check_admin(settings: Settings, address: Address) -> None:
    """Check what `admin_server` needs, before a model is loaded.

    Raises:
        UsageError: the address or the files for TLS cannot be used, or other machines could reach the address
            without TLS or while there is no token.
    """
    listener = _listener(settings, address)
    listener.check_tls()
    if address != DEFAULT_ADMIN:
        listener.bind().close()


def _listener(settings: Settings, address: Address) -> Listener:
    certificate, private_key = settings.admin_tls_certificate, settings.admin_tls_key
    if (certificate is None) != (private_key is None):
        raise UsageError("TLS needs both GUARDEDIT_ADMIN_TLS_CERTIFICATE and GUARDEDIT_ADMIN_TLS_KEY")
    if not (is_loopback(address.host) or settings.admin_open_to_all):
        missing = [
            *(["TLS (GUARDEDIT_ADMIN_TLS_CERTIFICATE, _TLS_KEY)"] if certificate is None else []),
            *(["a token (`guardedit tokens add`)"] if not Tokens(settings.home).all() else []),
        ]
        if missing:
            raise UsageError(
                f"GUARDEDIT_ADMIN is {address.host}, which other machines can reach: give "
                f"{' and '.join(missing)}, use a loopback address, or allow it with "
                "GUARDEDIT_ADMIN_OPEN_TO_ALL=yes"
            )
    # Whoever has no token can do nothing there, so the listener itself asks for no key.
    return Listener(address=address, certificate=certificate, private_key=private_key, open_to_all=True)


def _is_free(listener: Listener) -> bool:
    try:
        listener.bind().close()
    except UsageError:
        return False
    return True


@contextmanager
def _published(settings: Settings, url: str, token: str) -> Iterator[None]:
    """A file with address and token that only this user can read."""
    path = settings.home / ADMIN_FILE
    path.unlink(missing_ok=True)
    certificate = settings.admin_tls_certificate
    body = {"url": _local(url), "token": token}
    if certificate is not None:
        body["certificate"] = _leaf(certificate.read_text("utf-8", "replace"))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(body, file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _leaf(pem: str) -> str:
    """The server's own certificate, which is the first one of the file; those of authorities follow it."""
    return _BEGIN + pem.partition(_BEGIN)[2].partition(_END)[0] + _END


def _local(url: str) -> str:
    """The address for commands on this machine: one that means all addresses is none to connect to.

    >>> _local("https://0.0.0.0:9109"), _local("https://[::]:9109"), _local("https://10.0.0.1:9109")
    ('https://127.0.0.1:9109', 'https://[::1]:9109', 'https://10.0.0.1:9109')
    """
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
