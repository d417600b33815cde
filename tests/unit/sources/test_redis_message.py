"""Which bytes of a stream entry are the message."""

from __future__ import annotations

import json

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError
from guardedit.sources.redis_message import LOST, message_body


@pytest.mark.parametrize("field", [b"correction", b"data", b"body"])
def test_the_named_field_is_taken_as_it_is(field):
    assert message_body({b"other": b"1", field: b"\xff\x00 {"}) == b"\xff\x00 {"


def test_correction_wins_over_data_and_data_over_body():
    assert message_body({b"body": b"3", b"data": b"2", b"correction": b"1"}) == b"1"
    assert message_body({b"body": b"3", b"data": b"2"}) == b"2"


def test_other_fields_become_json_from_which_every_byte_can_be_had_back():
    fields = {b"text": bytes(range(256)), b"\xff": "\u00e9".encode()}
    body = json.loads(message_body(fields))
    again = {
        k.encode("utf-8", "surrogateescape"): v.encode("utf-8", "surrogateescape") for k, v in body.items()
    }
    assert again == fields


def _bytes(text):
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("fields", [{b"text": b"Paris"}, {}, None])
def test_what_is_no_message_reads_as_no_correction(fields):
    with pytest.raises(CorrectionError):
        decode_correction(message_body(fields))


def test_a_deleted_entry_says_so():
    assert message_body({}) == message_body(None) == LOST
