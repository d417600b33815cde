"""Gives a command access to the coordinator, which alone may write epochs, for undo, redo and rollback.

If no coordinator runs, this process becomes the coordinator for the duration of the command. Otherwise the
command calls the running one: through its HTTP interface, or on Ray. `run` leaves address and token of both
in the home folder, readable by the owner only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError, GuardeditError, GuardError, LedgerBusy, UsageError
from guardedit.runtime.opening import existing, refuse_second
from guardedit.runtime.ray_token import use_token
from guardedit.runtime.system import Reversible
from guardedit.settings import Settings

#: Name of the file with address and token. It is in the home folder while `run --runtime ray` runs.
ADDRESS_FILE = "ray.json"
#: The same for the HTTP interface of operators.
ADMIN_FILE = "admin.json"
#: Longest wait for the coordinator, in seconds: it finishes its trial first.
_PATIENCE_S = 3600.0


@contextmanager
def operating(settings: Settings) -> Iterator[Reversible]:
    """The coordinator: the one that runs on Ray, or this process.

    Raises:
        LedgerBusy: a coordinator runs that cannot be reached.
        PolicyError: the policy cannot be used; a trial needs its limits.
    """
    from guardedit.policy.load import load_policy

    policy = load_policy(settings.policy)
    try:
        refuse_second(settings)
    except LedgerBusy as busy:
        with _running(settings, busy) as operator:
            yield operator
        return
    from guardedit.runtime.local import LocalSystem

    # No metrics port and no broker, because this coordinator exists only for one command.
    with LocalSystem(replace(settings, metrics=None, redis_url=""), policy) as system:
        yield system


def admin_address(settings: Settings) -> tuple[str, ssl.SSLContext | None]:
    """Address of the HTTP interface of the coordinator that runs in the home folder; "" if none does.

    With TLS also the context that trusts its certificate.
    """
    admin = _read(settings.home / ADMIN_FILE)
    return admin.get("url", ""), _trusted(admin)


def reload_running(settings: Settings) -> dict[str, Any]:
    """Make the coordinator that runs in the home folder read its policy file again; what it answers.

    Raises:
        UsageError: none runs with an HTTP interface, or the policy cannot be put in force.
    """
    admin = _read(settings.home / ADMIN_FILE)
    if not admin:
        raise UsageError(
            f"no coordinator with an HTTP interface runs on {settings.home}: `guardedit run` reads the "
            "policy when it starts"
        )
    busy = LedgerBusy(f"the coordinator of {settings.home} has ended")
    return _OverHttp(settings, admin["url"], admin["token"], _trusted(admin), busy).post("policy/reload")


@contextmanager
def publish_address(settings: Settings) -> Iterator[None]:
    """Let other processes of this user reach the cluster that this process has started."""
    import ray

    body = {
        "address": ray.get_runtime_context().gcs_address,
        "token": os.environ.get("RAY_AUTH_TOKEN", ""),
    }
    path = settings.home / ADDRESS_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(body, file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _running(settings: Settings, busy: LedgerBusy) -> Iterator[Reversible]:
    admin = _read(settings.home / ADMIN_FILE)
    if admin:
        yield _OverHttp(settings, admin["url"], admin["token"], _trusted(admin), busy)
        return
    address = settings.ray_address or _published_address(settings.home / ADDRESS_FILE)
    if not address:
        raise LedgerBusy(
            f"{busy}. To undo or roll back while it runs, start it with its HTTP interface "
            "(pip install 'guardedit[serve]', GUARDEDIT_ADMIN not off) or as `guardedit run --runtime ray`"
        ) from busy
    with _connected(address, busy) as actor:
        yield _Remote(actor)


def _published_address(path: Path) -> str:
    body = _read(path)
    if body:
        use_token(body.get("token", ""))
    return body.get("address", "")


def _read(path: Path) -> dict[str, str]:
    """An address file; empty where there is none that can be read."""
    try:
        body = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _trusted(admin: Mapping[str, str]) -> ssl.SSLContext | None:
    """Trusts exactly the certificate of the coordinator in this home folder; None without TLS.

    It is the one that the coordinator read at its start and serves, whatever the file holds by now. It may be
    for the name by which other machines reach this one, so the name is not compared.

    Raises:
        UsageError: the certificate cannot be read.
    """
    if "certificate" not in admin:
        return None
    try:
        context = ssl.create_default_context(cadata=admin["certificate"])
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the certificate in {ADMIN_FILE} cannot be read ({error}): start the coordinator again"
        ) from error
    context.check_hostname = False
    # A certificate of an authority is trusted by itself, as a self-signed one is.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@contextmanager
def _connected(address: str, busy: LedgerBusy) -> Iterator[Any]:
    import ray

    from guardedit.runtime.actors import CONSOLIDATOR
    from guardedit.runtime.handles import NAMESPACE
    from guardedit.runtime.loopback import joining

    try:
        with joining(address):
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        actor = ray.get_actor(CONSOLIDATOR, namespace=NAMESPACE)
    except (ConnectionError, RuntimeError, ValueError) as error:
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise LedgerBusy(f"{busy}; and no coordinator answers on Ray at {address}") from error
    try:
        yield actor
    finally:
        ray.shutdown()


class _OverHttp:
    """The coordinator in another process, through its HTTP interface."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        token: str,
        trusted: ssl.SSLContext | None,
        busy: LedgerBusy,
    ) -> None:
        self._settings, self._url, self._token, self._busy = settings, url, token, busy
        # A proxy of the environment must not see the token.
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=trusted))

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        return self._post(f"epochs/{to}/rollback", {"facts_too": facts_too})

    def undo(self, fact_id: str) -> Epoch:
        return self._post(f"facts/{quote(fact_id, safe='')}/undo")

    def undo_source(self, source: str, key: str = "") -> Epoch:
        return self._post(f"sources/{quote(source, safe='')}/undo", {"key": key})

    def redo(self, fact_id: str) -> Epoch:
        return self._post(f"facts/{quote(fact_id, safe='')}/redo")

    def _post(self, path: str, body: dict[str, Any] | None = None) -> Epoch:
        made = self.post(path, body).get("epoch")
        if not isinstance(made, int):
            raise self._another()
        with existing(self._settings) as ledger:
            return ledger.epoch(made)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The body of the answer to a request."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else b""
        request = Request(f"{self._url}/v1/{path}", data, headers, method="POST")  # noqa: S310 - from our file
        try:
            with self._opener.open(request, timeout=_PATIENCE_S) as answer:
                found = json.load(answer)
        except HTTPError as error:
            raise self._refused(error) from error
        except OSError as error:  # killed: its file is still there
            raise LedgerBusy(f"{self._busy}; and nothing answers at {self._url}") from error
        except (HTTPException, ValueError) as error:
            raise self._another() from error
        if not isinstance(found, dict):
            raise self._another()
        return found

    def _another(self) -> LedgerBusy:
        """Another program has the address by now."""
        return LedgerBusy(f"{self._busy}; and what answers at {self._url} is no coordinator")

    def _refused(self, error: HTTPError) -> GuardeditError:
        try:
            message = str(json.load(error)["error"]["message"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            return self._another()
        kinds = {503: GuardError, 409: ConflictError}
        return kinds.get(error.code, UsageError)(message)


class _Remote:
    """The coordinator in another process."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        return self._call(self._actor.roll_back, to, facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        return self._call(self._actor.undo, fact_id)

    def undo_source(self, source: str, key: str = "") -> Epoch:
        return self._call(self._actor.undo_source, source, key)

    def redo(self, fact_id: str) -> Epoch:
        return self._call(self._actor.redo, fact_id)

    @staticmethod
    def _call(method: Any, *args: Any, **kwargs: Any) -> Epoch:
        from guardedit.runtime.calls import call

        epoch: Epoch = call(method, *args, **kwargs)
        return epoch
