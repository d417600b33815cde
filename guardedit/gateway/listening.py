"""Runs an application on an address: which addresses are allowed, and how it ends."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from guardedit.core.errors import UsageError
from guardedit.gateway.checking import MOST_BYTES, App, guarded, is_loopback
from guardedit.settings import Address

#: Most connections that wait to be accepted.
BACKLOG = 2048
#: Seconds that running answers get to finish when the server stops.
GRACE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where an application listens, and who may ask.

    Attributes:
        address: host and port; port 0 lets the system choose.
        key: a secret that requests must send as `Authorization: Bearer KEY`; "" asks for none.
        certificate, private_key: files for TLS; None for plain HTTP.
        open_to_all: allow an address that other machines reach, without key or TLS.

    Raises:
        UsageError: other machines could reach the address without a key, or read the traffic.
    """

    address: Address
    key: str = field(default="", repr=False)
    certificate: Path | None = None
    private_key: Path | None = None
    open_to_all: bool = False

    def __post_init__(self) -> None:
        host = self.address.host
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("TLS needs both files: --tls-certificate and --tls-key")
        if is_loopback(host) or self.open_to_all:
            return
        missing = [
            *(["a key (GUARDEDIT_SERVE_KEY)"] if not self.key else []),
            *(["TLS (--tls-certificate, --tls-key)"] if self.certificate is None else []),
        ]
        if missing:
            raise UsageError(
                f"other machines can reach {host}: give {' and '.join(missing)}, "
                "or allow it with --open-to-all"
            )

    def check_tls(self) -> None:
        """UsageError if there are files for TLS and they cannot be used."""
        if self.certificate is not None and self.private_key is not None:
            _check_tls(self.certificate, self.private_key)

    def bind(self) -> socket.socket:
        """A listening socket.

        Raises:
            UsageError: the address is in use, not allowed, or not an address of this machine; or the files
                for TLS cannot be used.
        """
        self.check_tls()
        host, port = self.address.host, self.address.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            # With the protocol named, asyncio turns Nagle's algorithm off; else each small piece of a
            # streamed answer waits 40 ms for the client's acknowledgement of the one before.
            found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
        except OSError as error:
            raise self._refused(error) from None
        return found

    def run(
        self, app: App, bound: socket.socket, *, most_bytes: int = MOST_BYTES, dated: bool = True
    ) -> None:
        """Serve the application on a bound socket until a signal ends the process.

        Raises:
            UsageError: another process has begun to listen there since it was bound.
        """
        self.listen(bound)
        self.server(app, most_bytes=most_bytes, dated=dated).run(sockets=[bound])

    def listen(self, bound: socket.socket) -> None:
        """Begin to listen on a bound socket; UsageError if another process was faster.

        Two processes can bind the same address as long as none of them listens.
        """
        try:
            bound.listen(BACKLOG)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"cannot listen on {self.address.host}:{self.address.port} ({_reason(error)})")

    def url(self, bound: socket.socket) -> str:
        """The address of a bound socket, without a path."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"http{'s' if self.certificate else ''}://{host}:{bound.getsockname()[1]}"

    def server(self, app: App, *, most_bytes: int = MOST_BYTES, dated: bool = True) -> uvicorn.Server:
        """A server for the application behind this listener's checks; `run` it on the bound socket.

        Args:
            app: answers the requests that pass.
            most_bytes: largest body of a request.
            dated: add the header `Date` to answers.
        """
        config = uvicorn.Config(
            guarded(app, key=self.key, loopback=is_loopback(self.address.host), most_bytes=most_bytes),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=dated,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=self.certificate,
            ssl_keyfile=self.private_key,
            lifespan="off",
            ws="none",
        )
        return uvicorn.Server(config)


@contextmanager
def in_thread(
    listener: Listener, app: App, *, most_bytes: int = MOST_BYTES, dated: bool = True
) -> Iterator[str]:
    """Serve an application from a thread until the block ends; yields its address.

    Raises:
        UsageError: the address cannot be used.
    """
    with listener.bind() as bound:
        listener.listen(bound)
        server = listener.server(app, most_bytes=most_bytes, dated=dated)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield listener.url(bound)
        finally:
            server.should_exit = True
            thread.join()


def _check_tls(certificate: Path, private_key: Path) -> None:
    """UsageError unless the two files can be used together, as the server will do later, in a thread."""
    try:
        # Without `password`, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "") or error
        raise UsageError(
            f"TLS cannot use the certificate {certificate} with the key {private_key} ({reason}): give a "
            "certificate in PEM and its own private key, without a password"
        ) from None


def _reason(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "something else listens there: name another port",
        errno.EACCES: "not allowed: use a port above 1023",
        errno.EADDRNOTAVAIL: "not an address of this machine",
    }
    return reasons.get(error.errno or 0, str(error.strerror or error))
