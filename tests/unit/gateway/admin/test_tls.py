"""TLS on the operators' interface: real certificates, real clients, and which addresses are allowed."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway.admin.serving import admin_server
from guardedit.gateway.mcp_server import OfficeClient
from guardedit.policy.load import load_policy
from guardedit.runtime.coordinator_access import admin_address, operating
from guardedit.settings import Address, Settings
from tests.certificates import certificate
from tests.unit.gateway.admin.conftest import Desk, hq

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture(scope="module")
def settings(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    cert, key = certificate(tmp_path_factory.mktemp("tls"), name="guardedit.example")
    return Settings(
        home=desk.home, policy=desk.home / "policy.yaml", metrics=None,
        admin_tls_certificate=cert, admin_tls_key=key,
    )  # fmt: skip


@pytest.fixture(scope="module")
def url(desk: Desk, settings: Settings) -> Iterator[str]:
    with admin_server(settings, load_policy(settings.policy), desk.system, LOOPBACK) as found:
        yield found


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


def test_a_client_that_trusts_the_certificate_is_answered(desk: Desk, settings: Settings, url: str):
    assert url.startswith("https://127.0.0.1:")
    with httpx.Client(base_url=url, verify=trusting(settings.admin_tls_certificate)) as client:
        assert client.get("/healthz").json()["status"] == "ok"
        headers = {"authorization": f"Bearer {desk.secrets['viewer']}"}
        assert client.get("/v1/whoami", headers=headers).json()["role"] == "viewer"


def test_other_clients_are_not(url: str, tmp_path: Path):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{url}/healthz")
    other, _ = certificate(tmp_path)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{url}/healthz", verify=trusting(other))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url.replace('https', 'http')}/healthz")
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz", verify=old)


def test_commands_on_this_machine_trust_the_coordinators_certificate(
    desk: Desk, settings: Settings, url: str
):
    desk.submit(hq("Hydra", "Oslo", id="tls-1"))
    fact = desk.get("/v1/facts/Hydra")["facts"][0]["id"]
    published = json.loads((desk.home / "admin.json").read_text())
    assert (published["url"], published["certificate"].strip()) == (
        url, settings.admin_tls_certificate.read_text().strip(),
    )  # fmt: skip
    with operating(settings) as system:
        assert system.undo(fact).kind == "undo"
    found, trusted = admin_address(settings)
    assert OfficeClient(found, desk.secrets["operator"], trusted).role() == "operator"


def test_commands_on_this_machine_trust_no_other_certificate(
    desk: Desk, settings: Settings, url: str, tmp_path: Path
):
    other, _ = certificate(tmp_path)
    path = desk.home / "admin.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "certificate": other.read_text()}))
    try:
        with operating(settings) as system, pytest.raises(Exception, match="nothing answers at"):
            system.undo("x")
        path.write_text(json.dumps({**json.loads(text), "certificate": "no PEM"}))
        with pytest.raises(UsageError, match="cannot be read"):
            admin_address(settings)
    finally:
        path.write_text(text)


def test_commands_trust_the_certificate_that_is_served_and_none_that_follows_it(
    desk: Desk, settings: Settings, tmp_path: Path
):
    authority, authority_key = certificate(tmp_path / "authority")
    chain = tmp_path / "fullchain.pem"
    own = settings.admin_tls_certificate.read_text()
    chain.write_text(own + authority.read_text())
    chained = replace(settings, admin_tls_certificate=chain)
    policy = load_policy(settings.policy)
    with admin_server(chained, policy, desk.system, LOOPBACK):
        published = (desk.home / "admin.json").read_text()
        assert json.loads(published)["certificate"].strip() == own.strip()
        chain.write_text(authority.read_text())  # renewed, which the running server has not read
        with operating(settings) as system, pytest.raises(UsageError, match="no fact, live or removed"):
            system.undo("nothing of this name")
    impostor = replace(settings, admin_tls_certificate=authority, admin_tls_key=authority_key)
    with admin_server(impostor, policy, desk.system, LOOPBACK) as url:
        path = desk.home / "admin.json"
        path.write_text(json.dumps({**json.loads(published), "url": url}))
        with operating(settings) as system, pytest.raises(Exception, match="nothing answers at"):
            system.undo("x")


def refused(desk: Desk, settings: Settings, address: Address = LOOPBACK) -> str:
    with (
        pytest.raises(UsageError) as error,
        admin_server(settings, load_policy(settings.policy), desk.system, address),
    ):
        pass
    return str(error.value)


def test_files_that_do_not_belong_together_are_refused_at_the_start(
    desk: Desk, settings: Settings, tmp_path: Path
):
    other, other_key = certificate(tmp_path / "other")
    _, locked = certificate(tmp_path / "locked", password="secret")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM")
    for cert, key in (
        (settings.admin_tls_certificate, other_key),
        (other, locked),
        (other, garbage),
        (garbage, other_key),
        (tmp_path / "none.pem", other_key),
        (tmp_path, other_key),
    ):
        changed = replace(settings, admin_tls_certificate=cert, admin_tls_key=key)
        assert "give a certificate in PEM and its own private key" in refused(desk, changed)
    for half in ({"admin_tls_key": None}, {"admin_tls_certificate": None}):
        assert "TLS needs both" in refused(desk, replace(settings, **half))


def test_an_address_that_others_reach_needs_tls_and_a_token(desk: Desk, settings: Settings, tmp_path: Path):
    everywhere = Address("0.0.0.0", 0)
    plain = replace(settings, admin_tls_certificate=None, admin_tls_key=None)
    assert "give TLS (GUARDEDIT_ADMIN_TLS_CERTIFICATE" in refused(desk, plain, everywhere)
    bare = replace(settings, home=tmp_path)
    assert "give a token (`guardedit tokens add`), use" in refused(desk, bare, everywhere)
    policy = load_policy(settings.policy)
    for allowed, scheme in ((settings, "https"), (replace(plain, admin_open_to_all=True), "http")):
        with admin_server(allowed, policy, desk.system, everywhere) as found:
            assert found.startswith(f"{scheme}://0.0.0.0:")
            local = json.loads((desk.home / "admin.json").read_text())["url"]
            assert local == found.replace("0.0.0.0", "127.0.0.1")
            verify = trusting(settings.admin_tls_certificate) if scheme == "https" else True
            with httpx.Client(base_url=local, verify=verify) as client:
                assert client.get("/v1/status").status_code == 401  # reading is never open there
                headers = {"authorization": f"Bearer {desk.secrets['viewer']}"}
                assert client.get("/v1/status", headers=headers).status_code == 200
            with operating(allowed) as system, pytest.raises(UsageError, match="no fact, live or removed"):
                system.undo("nothing of this name")
