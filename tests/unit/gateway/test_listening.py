"""Which addresses are allowed, and how they are listened on."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway.listening import Listener, in_thread
from guardedit.settings import Address, parse_address
from tests.certificates import certificate

PEM = Path("cert.pem")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"a key \(GUARDEDIT_SERVE_KEY\) and TLS"),
        ({"key": "k"}, "give TLS"),
        ({"certificate": PEM, "private_key": PEM}, r"give a key \(GUARDEDIT_SERVE_KEY\), or allow"),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "10.0.0.1"])
def test_an_address_that_others_reach_needs_a_key_and_tls(host: str, options, says: str):
    with pytest.raises(UsageError, match=says):
        Listener(address=Address(host, 0), **options)
    Listener(address=Address(host, 0), open_to_all=True, **options)
    Listener(address=Address(host, 0), **{"key": "k", "certificate": PEM, "private_key": PEM, **options})


def test_tls_needs_both_files():
    with pytest.raises(UsageError, match="both files"):
        Listener(address=Address("127.0.0.1", 0), certificate=PEM)


async def _hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


def test_tls_with_a_real_certificate(tmp_path: Path):
    cert, key = certificate(tmp_path)
    listener = Listener(address=Address("127.0.0.1", 0), key="k", certificate=cert, private_key=key)
    with in_thread(listener, _hello) as url:
        trusted = ssl.create_default_context(cafile=cert)
        answer = httpx.get(url, verify=trusted, headers={"authorization": "Bearer k"})
        assert (answer.status_code, answer.text) == (200, "https")
        assert httpx.get(url, verify=trusted).status_code == 401
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_a_key_of_another_certificate_is_refused_before_anything_is_loaded(tmp_path: Path):
    cert, _ = certificate(tmp_path / "a")
    _, key = certificate(tmp_path / "b")
    listener = Listener(address=Address("127.0.0.1", 0), certificate=cert, private_key=key)
    with pytest.raises(UsageError, match="its own private key, without a password"):
        listener.bind()


def test_pieces_of_an_answer_do_not_wait_for_each_other():
    """asyncio turns Nagle's algorithm off only for sockets that say that they are TCP."""
    with Listener(address=Address("127.0.0.1", 0)).bind() as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_said():
    with Listener(address=Address("127.0.0.1", 0)).bind() as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(UsageError, match="something else listens there"):
            Listener(address=Address("127.0.0.1", port)).bind()


@pytest.mark.parametrize("text", ["", "8000", ":8000", "localhost:", "localhost:99999", "off"])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(UsageError, match="--listen is"):
        parse_address("--listen", text)


def test_two_that_bound_one_address_do_not_both_listen():
    first = Listener(address=Address("127.0.0.1", 0))
    with first.bind() as early:
        second = Listener(address=Address("127.0.0.1", early.getsockname()[1]))
        with second.bind() as late:
            first.listen(early)
            with pytest.raises(UsageError, match="something else listens there: name another port"):
                second.run(_unused, late)


async def _unused(*_: object) -> None:
    raise AssertionError
