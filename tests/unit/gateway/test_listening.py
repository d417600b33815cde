"""Which addresses are allowed, and how they are listened on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway.listening import Listener
from guardedit.settings import Address, parse_address

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
