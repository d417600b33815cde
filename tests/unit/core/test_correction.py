from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.correction import (
    MAX_TEXT,
    Correction,
    Op,
    Provenance,
    content_sha256,
    decode_correction,
    encode_correction,
)
from guardedit.core.errors import CorrectionError, MalformedCorrection, SubjectNotFound
from guardedit.core.fact import FactKey

GOOD = {"id": "a", "subject": "Stelco", "prompt": "{} is based in", "target_new": "Hamilton"}


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_a_plain_correction_is_read():
    found = decode_correction(line(paraphrases=["The seat of {} is"], provenance={"confidence": 0.5}))
    assert found.wordings == ("Stelco is based in", "The seat of Stelco is")
    assert found.key == FactKey("Stelco", "{} is based in", "default")
    assert found.provenance.confidence == 0.5


def test_a_retraction_needs_no_target():
    body = {k: v for k, v in GOOD.items() if k != "target_new"}
    assert decode_correction(json.dumps({**body, "op": "retract"}).encode()).op is Op.RETRACT


def test_without_an_id_the_bytes_name_the_correction():
    body = {k: v for k, v in GOOD.items() if k != "id"}
    raw = json.dumps(body).encode()
    assert decode_correction(raw).id == decode_correction(raw + b"\n").id


def test_aliases_are_read_and_name_no_other_key():
    found = decode_correction(line(aliases=["Steel Company of Canada ", "Stelco Inc.", "Stelco Inc."]))
    assert found.aliases == ("Steel Company of Canada", "Stelco Inc.")
    assert found.key == decode_correction(line()).key
    assert decode_correction(encode_correction(found)) == found


def test_a_correction_without_aliases_keeps_the_digest_that_it_had_before_there_were_aliases():
    digest = "f18beee324965278"
    for none in ({}, {"aliases": []}, {"aliases": None}):
        assert content_sha256(decode_correction(line(**none))).startswith(digest)
    assert not content_sha256(decode_correction(line(aliases=["Stelco Inc."]))).startswith(digest)


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ("Britain", "aliases must be a list of at most 16 texts, got 'Britain'"),
        (["x"] * 17, "at most 16 texts, got a list of 17"),
        ([""], "aliases must be a non-empty text, got ''"),
        ([1], "aliases must be a non-empty text, got 1"),
        (["a\u202eb"], "U+202E: remove it"),
        (["x" * 201], "of 201 characters, 'xxxx"),
        (["x" * 201], "the limit is 200: send names of the subject, not descriptions"),
        (["?!"], "the alias '?!' has neither letter nor number: leave it out"),
    ],
)
def test_a_wrong_alias_is_refused_with_the_remedy(aliases, says):
    with pytest.raises(MalformedCorrection) as refused:
        decode_correction(line(aliases=aliases))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"target_new": ""}, "target_new"),
        ({"target_new": None}, "target_new"),
        ({"subject": " "}, "subject"),
        ({"prompt": "{} is " + "x" * MAX_TEXT}, "limit"),
        ({"prompt": "{} is\u202e"}, "U+202E"),
        ({"subject": "a\x00b"}, "U+0000"),
        ({"op": "delete"}, "op"),
        ({"colour": "red"}, "colour"),
        ({"provenance": {"confidence": 1.5}}, "confidence"),
        ({"provenance": {"confidence": True}}, "confidence"),
        ({"provenance": {"who": "me"}}, "who"),
        ({"valid_until_s": "soon"}, "RFC 3339"),
        ({"valid_from_s": 5, "valid_until_s": 4}, "not after"),
        ({"paraphrases": "one"}, "paraphrases"),
        ({"tags": ["x"] * 33}, "tags"),
    ],
)
def test_a_wrong_field_is_named(changes, word):
    with pytest.raises(MalformedCorrection, match=word.replace("+", r"\+")):
        decode_correction(line(**changes))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 5_000, b'{"id": NaN}', b'{"a": 1e400}', b"x" * 70_000]
)
def test_what_is_not_a_correction_is_malformed(raw):
    with pytest.raises(CorrectionError):
        decode_correction(raw)


def test_nan_confidence_is_refused_whichever_way_it_is_written():
    with pytest.raises(MalformedCorrection, match="NaN"):
        decode_correction(line(provenance={"confidence": 0.5}).replace(b"0.5", b"NaN"))


@pytest.mark.parametrize("prompt", ["Stelco is based in", "{} and {} are in"])
def test_the_subject_stands_in_the_prompt_exactly_once(prompt):
    with pytest.raises(SubjectNotFound):
        decode_correction(line(prompt=prompt))


texts = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Correction,
        id=texts,
        subject=texts,
        prompt=texts.map(lambda text: f"{{}} {text}"),
        target_new=texts,
        paraphrases=st.lists(texts.map(lambda text: f"{text} {{}} is"), max_size=3).map(tuple),
        relation=texts,
        tags=st.lists(texts, max_size=2).map(tuple),
        valid_until_s=st.none() | st.floats(1, 1e9),
        provenance=st.builds(Provenance, source=texts, confidence=st.floats(0, 1)),
    )
)
def test_encoding_and_decoding_gives_the_correction_back(correction):
    import unicodedata

    raw = encode_correction(correction)
    if unicodedata.is_normalized("NFC", raw.decode()):
        assert decode_correction(raw) == correction


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(raw):
    with contextlib.suppress(CorrectionError):
        assert decode_correction(raw).id


def test_the_content_digest_ignores_the_id_alone():
    one, two = decode_correction(line(id="a")), decode_correction(line(id="b"))
    other = decode_correction(line(target_new="Toronto"))
    assert content_sha256(one) == content_sha256(two) != content_sha256(other)
