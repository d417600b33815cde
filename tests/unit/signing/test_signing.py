"""Signatures of messages: what they cover, what they do not depend on, and the files of their keys."""

from __future__ import annotations

import base64
import json
import re
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.core.correction import content_sha256, decode_correction, encode_correction
from guardedit.core.errors import MalformedCorrection, SignatureRefused, UsageError
from guardedit.core.wire import read_object
from guardedit.signing.keys import SigningKey, holds, new_key, read_key, sign_message, write_key
from guardedit.signing.message import Signature, read_signature, signed_bytes

#: The first test vector of RFC 8032, section 7.1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
KEY = SigningKey(name="registry-1", source="registry", seed=SEED)
BODY = {
    "id": "r-1",
    "subject": "Stelco",
    "prompt": "The headquarters of {} are in",
    "target_new": "Hamilton",
    "provenance": {"source": "registry", "time_s": 1e9, "confidence": 0.5},
}


def signed(body: dict | None = None, key: SigningKey = KEY) -> dict:
    return json.loads(sign_message(json.dumps(body or BODY).encode(), key, default_id="made"))


def valid(body: dict) -> bool:
    return holds(read_signature(body["provenance"]["signature"]), body, PUBLIC)


def test_the_public_key_is_that_of_the_standard():
    assert base64.b64decode(KEY.public) == PUBLIC


def test_the_signed_bytes_are_dsse_around_rfc_8785():
    body = {"b": 1.0, "a": "\u20ac\u0007", "provenance": {"signature": "x", "source": "s"}}
    canonical = '{"a":"\u20ac\\u0007","b":1,"provenance":{"source":"s"}}'.encode()
    kind = b"application/vnd.guardedit.correction+json"
    assert signed_bytes(body) == b"DSSEv1 41 " + kind + b" %d " % len(canonical) + canonical


def test_a_signed_message_holds_and_says_the_same():
    body = signed()
    assert valid(body)
    correction = decode_correction(json.dumps(body).encode())
    assert (correction.id, correction.signed, correction.id_given) == ("r-1", True, True)
    assert content_sha256(correction) == content_sha256(decode_correction(json.dumps(BODY).encode()))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "r-2"},
        {"subject": "Dofasco"},
        {"target_new": "Toronto"},
        {"tenant": "acme"},
        {"op": "retract"},
        {"tags": ["vip"]},
        {"valid_until_s": 2e9},
        {"paraphrases": ["{} is led from"]},
    ],
)
def test_no_field_can_be_changed(change: dict):
    assert not valid({**signed(), **change})


@pytest.mark.parametrize(
    "change", [{"source": "other"}, {"confidence": 1.0}, {"time_s": 2e9}, {"author": "eve"}]
)
def test_no_part_of_the_provenance_can_be_changed(change: dict):
    body = signed()
    assert not valid({**body, "provenance": {**body["provenance"], **change}})


def test_no_field_can_be_left_out():
    for name in ("id", "target_new"):
        assert not valid({key: value for key, value in signed().items() if key != name})


def test_spelling_does_not_matter():
    text = json.dumps(signed())
    for other in (
        json.dumps(signed(), indent=2, sort_keys=True),
        text.replace("1000000000.0", "1e9"),
        text.replace("0.5", "5.0e-1"),
        text.replace("Stelco", "St\\u0065lco"),
    ):
        assert valid(read_object(other.encode()))


def test_a_repeated_key_is_refused_before_anything_is_checked():
    text = json.dumps(signed()).replace('"target_new"', '"target_new": "Toronto", "target_new"', 1)
    with pytest.raises(MalformedCorrection, match="occurs twice"):
        read_object(text.encode())


@pytest.mark.parametrize("number", ["1e400", "9007199254740993", "-0.0"])
def test_numbers_without_an_exact_form_are_refused_and_zero_has_one(number: str):
    body = json.loads(f'{{"id": "a", "provenance": {{"time_s": {number}}}}}')
    if number == "-0.0":
        assert b'"time_s":0}' in signed_bytes(body)
        return
    with pytest.raises(SignatureRefused, match="no canonical form"):
        signed_bytes(body)


def test_lone_surrogates_are_refused():
    with pytest.raises(SignatureRefused, match="no canonical form"):
        signed_bytes({"id": "\ud800"})


@pytest.mark.parametrize(
    "text",
    [
        "ed25519:",
        "ed25519:k:",
        "ed25519:k:AAAA",
        "ed25519:K:" + "A" * 86 + "==",
        "ed25519:k:" + "A" * 85 + "B===",
        "ed25519:k:" + "-" * 86 + "==",
        "ed25519:k:" + "A" * 86 + "==\n",
        "ed25519:k:" + "A" * 1900,
        "rsa:k:" + "A" * 86 + "==",
        "a text of version 0.1",
    ],
)
def test_other_texts_are_no_signatures(text: str):
    with pytest.raises(SignatureRefused, match="must be ed25519:KEY:BASE64"):
        read_signature(text)


@given(st.binary(min_size=64, max_size=64), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True))
def test_a_signature_is_read_as_it_was_written(value: bytes, name: str):
    assert read_signature(str(Signature(name, value))) == (name, value)


@given(st.binary(max_size=64))
def test_no_other_bytes_are_a_valid_signature(value: bytes):
    assert not holds(Signature("registry-1", value), BODY, PUBLIC)


def test_signing_fills_in_id_and_source_and_refuses_another_source():
    bare = {name: value for name, value in BODY.items() if name not in {"id", "provenance"}}
    body = signed(bare)
    assert (body["id"], body["provenance"]["source"]) == ("made", "registry")
    assert valid(body)
    with pytest.raises(
        MalformedCorrection, match="signs for the source 'registry', the correction names 'press'"
    ):
        signed({**BODY, "provenance": {"source": "press"}})
    with pytest.raises(MalformedCorrection, match="provenance must be an object"):
        signed({**BODY, "provenance": "press"})


def test_signing_again_replaces_the_signature():
    assert signed(signed()) == signed()
    other = new_key("registry-2", "registry")
    assert not valid(signed(signed(), other))


def test_the_canonical_line_of_a_signed_correction_has_its_signature():
    correction = decode_correction(json.dumps(signed()).encode())
    assert decode_correction(encode_correction(correction)) == correction


def test_key_files(tmp_path):
    path = tmp_path / "a.key"
    key = new_key("registry-1", "registry")
    write_key(key, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    assert base64.b64encode(key.seed).decode() not in repr(key)
    with pytest.raises(UsageError, match="exists"):
        write_key(key, path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others can read"):
        read_key(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path / "b.key")
    with pytest.raises(UsageError, match="cannot be written"):
        write_key(key, tmp_path / "no" / "a.key")
    assert new_key("a", "b").seed != new_key("a", "b").seed


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"name": "a", "source": "b", "ed25519": "AAAA"}', "x" * 9000,
     '{"name": "A b", "source": "b", "ed25519": "' + base64.b64encode(SEED).decode() + '"}'],
)  # fmt: skip
def test_other_files_are_no_key_files(tmp_path, text: str):
    path = tmp_path / "a.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is no key file"):
        read_key(path)


@pytest.mark.parametrize("name", ["", "A", "a b", "a:b", "x" * 65])
def test_names_of_keys_are_checked(name: str):
    with pytest.raises(UsageError, match="no name of a key"):
        new_key(name, "registry")


def test_the_program_on_the_page_signs_as_we_do(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "signing.md").read_text("utf-8")
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    write_key(KEY, tmp_path / "registry-1.key")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "signing.md", "exec"), {})
    assert valid(json.loads(capsys.readouterr().out))


def test_a_key_that_does_not_fit_on_the_disk_leaves_no_file(tmp_path):
    path, before = tmp_path / "a.key", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(UsageError, match="cannot be written"):
            write_key(KEY, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    write_key(KEY, path)
