"""Which corrections a source with keys accepts."""

from __future__ import annotations

import json

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.errors import PolicyError, SignatureRefused
from guardedit.policy.load import parse_policy
from guardedit.policy.sources import signer
from guardedit.signing.keys import SigningKey, sign_message

OLD, NEW = (SigningKey(name=f"key-{n}", source="Registry", seed=bytes([n]) * 32) for n in (1, 2))
STRANGER = SigningKey(name="key-1", source="Registry", seed=b"s" * 32)
NOW_S = 1_000_000.0

POLICY = """
apiVersion: guardedit/v1
sources:
  - name: Registry
    keys:
      - {{id: key-1, ed25519: {old}, not_before: 1970-01-02, not_after: 1970-01-20T00:00:00Z{more}}}
      - {{id: key-2, ed25519: {new}, not_before: 1500000}}
rules:
  - {{id: rest, route: memory, why: everything is remembered}}
"""


def policy(more: str = ""):
    return parse_policy(POLICY.format(old=OLD.public, new=NEW.public, more=more), name="p")


def message(key: SigningKey | None = OLD, *, source: str | None = None, **fields) -> bytes:
    body = {"id": "r-1", "subject": "Ada", "prompt": "{} lives in", "target_new": "Rome", **fields}
    if key is None:
        body["provenance"] = {"source": source or "Registry"}
        return json.dumps(body).encode()
    return sign_message(json.dumps(body).encode(), key, default_id="made")


def signed_by(raw: bytes, *, at_s: float = NOW_S, more: str = "") -> str:
    return signer(policy(more).sources, raw, decode_correction(raw), received_at_s=at_s)


def refused(raw: bytes, **options) -> str:
    with pytest.raises(SignatureRefused) as error:
        signed_by(raw, **options)
    return str(error.value)


def test_a_valid_signature_names_its_key():
    assert signed_by(message()) == "key-1"
    assert signed_by(message(NEW), at_s=1_600_000.0) == "key-2"


def test_both_keys_are_valid_while_they_overlap():
    assert {signed_by(message(key), at_s=1_550_000.0) for key in (OLD, NEW)} == {"key-1", "key-2"}


@pytest.mark.parametrize(
    ("key", "at_s", "why"),
    [
        (OLD, 86_399.0, "is not valid yet: its not_before is 1 s after the receipt"),
        (OLD, 1_641_600.0, "has expired: its not_after is 0 s before the receipt"),
        (NEW, 1_499_999.0, "is not valid yet"),
    ],
)
def test_the_time_of_receipt_decides(key: SigningKey, at_s: float, why: str):
    assert why in refused(message(key), at_s=at_s)
    assert "'Registry'" in refused(message(key), at_s=at_s)
    assert signed_by(message(OLD), at_s=86_400.0) == signed_by(message(OLD), at_s=1_641_599.0) == "key-1"


def test_a_revoked_key_signs_nothing_whenever_it_was_received():
    assert refused(message(), more=", revoked: true").startswith(
        "the key 'key-1' of the source 'Registry' is revoked"
    )


def test_a_missing_or_wrong_signature_names_source_key_and_remedy():
    assert "has no signature: send it with `guardedit submit --sign KEYFILE`" in refused(message(None))
    stranger = refused(message(STRANGER))
    assert "the key 'key-1' of the source 'Registry' did not sign this" in stranger
    unknown = SigningKey(name="key-9", source="Registry", seed=OLD.seed)
    assert "has no key 'key-9': sign with key-1 or key-2" in refused(message(unknown))


def test_a_signature_of_one_message_does_not_fit_another():
    body, other = json.loads(message()), json.loads(message(target_new="Lima"))
    body["provenance"]["signature"] = other["provenance"]["signature"]
    assert "does not hold" in refused(json.dumps(body).encode())


@pytest.mark.parametrize("source", ["registry", "REGISTRY", "Ｒegistry", "REGISTRY "])
def test_other_spellings_of_the_source_are_refused(source: str):
    assert "is another spelling of 'Registry'" in refused(message(None, source=source))


@pytest.mark.parametrize("source", [" Registry", "Registry\t"])
def test_spaces_around_the_source_do_not_hide_it(source: str):
    assert "has no signature" in refused(message(None, source=source.replace("\t", " ")))


def test_other_sources_need_no_signature_and_get_none():
    assert signed_by(message(None, source="press")) == ""
    other = SigningKey(name="key-1", source="press", seed=OLD.seed)
    assert signed_by(message(other)) == ""


@pytest.mark.parametrize("absent", [None, ""])
def test_a_signature_without_an_id_could_be_replayed(absent: str | None):
    body = json.loads(message())
    body["id"] = absent
    body["provenance"].pop("signature")
    body["provenance"]["signature"] = str(OLD.sign(body))
    assert "without an id" in refused(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ("[{name: a, keys: []}]", "empty: give at least one entry"),
        ("[{name: a, keys: [{id: k, ed25519: AAAA}]}]", "no Ed25519 key"),
        ("[{name: a, keys: [{id: K, ed25519: %s}]}]", "pattern"),
        ("[{name: a, keys: [{id: k, ed25519: %s, until: 3}]}]", "unknown key; known"),
        ("[{name: a, keys: [{id: k, ed25519: %s, not_after: tomorrow}]}]", "is not RFC 3339"),
        ("[{name: a, keys: [{id: k, ed25519: %s, not_after: 1, not_before: 2}]}]", "not later than"),
        ("[{name: a, keys: [{id: k, ed25519: %s}, {id: k, ed25519: %s}]}]", "two keys 'k'"),
        ("[{name: a, keys: [{id: k, ed25519: %s}]}, {name: A, keys: [{id: k, ed25519: %s}]}]", "one name"),
        ("[{name: a, keys: [{id: k, ed25519: %s}]}, {name: a, keys: [{id: k, ed25519: %s}]}]", "one name"),
        ("[{name: ' ', keys: [{id: k, ed25519: %s}]}]", "non-empty text"),
        ("[{keys: [{id: k, ed25519: %s}]}]", "required but not given: The source"),
        ("{a: {keys: []}}", "valid array"),
    ],
)  # fmt: skip
def test_wrong_sections_are_explained(sources: str, why: str):
    text = "apiVersion: guardedit/v1\nrules: [{id: rest, route: memory, why: all of it}]\nsources: "
    with pytest.raises(PolicyError) as error:
        parse_policy(text + sources.replace("%s", OLD.public), name="p")
    assert why in str(error.value)
    assert "p:3:" in str(error.value)


def test_the_name_is_normalised_as_in_messages():
    text = POLICY.format(old=OLD.public, new=NEW.public, more="").replace("Registry", "Cafe\u0301")
    key = SigningKey(name="key-1", source="Caf\u00e9", seed=OLD.seed)
    found = parse_policy(text, name="p")
    raw = message(key)
    assert signer(found.sources, raw, decode_correction(raw), received_at_s=NOW_S) == "key-1"
