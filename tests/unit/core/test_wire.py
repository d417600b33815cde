"""What corrections are read from: any bytes at all."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.correction import Op, decode_correction, derived_id, encode_correction, split_messages
from guardedit.core.errors import CorrectionError, MalformedCorrection

GOOD = {"id": "a", "subject": "Stelco", "prompt": "{} is based in", "target_new": "Hamilton"}


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def refusal(raw: bytes) -> str:
    """The message with which bytes are refused; it can be written anywhere."""
    with pytest.raises(CorrectionError) as caught:
        decode_correction(raw)
    message = str(caught.value)
    assert len(message.encode("utf-8")) < 600
    return message


# Numbers that Python itself would not read, or not turn into a float.


@pytest.mark.parametrize("digits", [33, 400, 4_299, 4_301, 60_000])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    "place",
    ['"valid_until_s": %s', '"colour": %s', '"tags": [%s]', '"provenance": {"time_s": %s}', '"op": %s'],
)
def test_an_integer_of_any_length_is_refused_with_its_length(digits, sign, place):
    raw = json.dumps(GOOD)[:-1].encode() + b", " + (place % (sign + "9" * digits)).encode() + b"}"
    assert f"{digits + len(sign)} digits" in refusal(raw)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e99999999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused(number):
    refusal(line(valid_until_s=5).replace(b"5", number.encode()))
    refusal(line(provenance={"confidence": 5}).replace(b"5", number.encode()))


# Times.


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (1_795_800_000_000, "looks like milliseconds: divide it by 1,000"),
        (1_795_800_000_000.5, "milliseconds"),
        (200_000_000_000, "milliseconds"),  # 1976
        (-1_795_800_000_000, "milliseconds"),
        (1_795_800_000_000_000, "microseconds"),
        (1_795_800_000_000_000_000, "nanoseconds"),
        (10**25, "outside the years 1 to 9999"),
        (-62_135_596_801, "outside the years 1 to 9999"),
        ("0001-01-01T00:00:00+14:00", "outside the years 1 to 9999"),
        ("9999-12-31T23:59:59-14:00", "outside the years 1 to 9999"),
        ("10000-01-01", "RFC 3339"),
        ("x" * 60_000, "RFC 3339"),
        ("\ud800", "RFC 3339"),
        (True, "seconds since 1970"),
        ([1], "a list of 1"),
    ],
)
@pytest.mark.parametrize("field", ["valid_from_s", "valid_until_s", "time_s"])
def test_a_time_that_cannot_be_meant_is_refused_with_the_remedy(field, value, remedy):
    raw = line(provenance={field: value}) if field == "time_s" else line(**{field: value})
    message = refusal(raw)
    assert remedy in message
    assert field in message


@pytest.mark.parametrize(
    "value",
    [0, -1.5, 1_795_800_000, -62_135_596_800, 99_999_999_999, "2026-11-20T00:00:00Z", "9999-12-31T23:59:59Z"],
)
def test_times_of_the_years_1_to_9999_are_read_and_written_back(value):
    told = decode_correction(line(valid_until_s=value))
    assert decode_correction(encode_correction(told)) == told
    assert datetime.fromtimestamp(told.valid_until_s, UTC).year in range(1, 10_000)


# Keys.


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": "a", "id": "a", "subject": "S", "prompt": "{} is", "target_new": "x"}',
        line(provenance={"source": "a"})[:-1] + b', "provenance": {"source": "b"}}',
        line(provenance={"source": "a"}).replace(b'"source"', b'"source": "b", "source"'),
        line(tags=[{"a": 1}]).replace(b'"a": 1', b'"a": 1, "a": 1'),
        line(provenance={"source": "a"})[:-1] + b', "pro\\u0076enance": {}}',
    ],
)
def test_a_key_that_stands_twice_is_refused_at_every_depth(raw):
    assert "occurs twice" in refusal(raw)


@pytest.mark.parametrize(
    "place", ['"\\ud800": 1', '"provenance": {"\\udfff": 1}', '"tags": ["\\ud800"]', '"op": "\\ud800"']
)
def test_a_lone_surrogate_is_refused_in_words_that_can_be_written(place):
    refusal(json.dumps(GOOD)[:-1].encode() + b", " + place.encode() + b"}")


def test_a_key_of_any_length_is_shortened():
    assert "60000 characters" in refusal(line(**{"k" * 60_000: 1}))


# What may stand around a correction, or be null.


def test_a_byte_order_mark_is_skipped():
    assert decode_correction(b"\xef\xbb\xbf" + line()) == decode_correction(line())


OPTIONAL = (
    "id",
    "target_true",
    "paraphrases",
    "relation",
    "tenant",
    "tags",
    "valid_from_s",
    "valid_until_s",
    "op",
    "provenance",
)
INNER = ("source", "author", "time_s", "confidence", "evidence", "signature")


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_for_an_optional_field_means_absent(name):
    absent = {key: value for key, value in GOOD.items() if key != name}
    assert decode_correction(line(**{name: None})) == decode_correction(json.dumps(absent).encode())


@pytest.mark.parametrize("name", INNER)
def test_null_in_the_provenance_means_absent(name):
    assert decode_correction(line(provenance={name: None})) == decode_correction(line())


@pytest.mark.parametrize("name", ["subject", "prompt", "target_new"])
def test_null_for_a_field_that_must_be_there_is_refused(name):
    assert name in refusal(line(**{name: None}))


@pytest.mark.parametrize("value", [[], {}, 5, True, ["upsert"], {"op": "upsert"}, 1.5])
@pytest.mark.parametrize("name", [*OPTIONAL, "subject", "prompt", "target_new"])
def test_a_wrong_type_is_a_dead_letter_or_harmless(name, value):
    with contextlib.suppress(CorrectionError):
        decode_correction(line(**{name: value}))


# Characters.

JOINED = [
    "می‌خواهم", "علی‌رضا", "ශ්‍රී ලංකා", "क्‍ष", "അവന്‍", "👩‍🚀", "🏳️‍🌈", "👩🏽‍🚀", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁷󠁬󠁳󠁿", "❤️", "1️⃣", "\u06dd",
    "a\u00a0b",
]  # fmt: skip


@pytest.mark.parametrize("text", JOINED)
@pytest.mark.parametrize("name", ["subject", "target_new", "relation"])
def test_joiners_in_words_and_emoji_are_text(text, name):
    told = decode_correction(line(**{name: text}))
    assert getattr(told, name) == text
    assert decode_correction(encode_correction(told)) == told


HIDDEN = [
    "a\u202eb", "a\u2066b", "a\u200bb", "a\u2060b", "a\ufeffb", "a\u00adb", "a\x07b", "a\x85b",
    "a\u2028b", "a\u2029b",
    "\u200da", "a \u200db", "a.\u200cb", "a\u200d\u200db", "a\U000e0041b", "😀\U000e0068\U000e0069\U000e007f",
    "\U0001f3f4\U000e0067", "\U0001f3f4" + "\U000e0061" * 40 + "\U000e007f", "a\ud800b",
]  # fmt: skip


@pytest.mark.parametrize("text", HIDDEN)
def test_what_turns_or_hides_text_is_refused_with_its_number(text):
    assert "U+" in refusal(line(subject=text))


# Identity.


def test_the_id_of_a_correction_without_one_is_its_content_whatever_the_spacing_and_order():
    body = {key: value for key, value in GOOD.items() if key != "id"}
    one = decode_correction(json.dumps(body, indent=2).encode())
    other = decode_correction(
        json.dumps(dict(reversed(body.items())) | {"tags": [], "tenant": None}).encode()
    )
    assert one.id == other.id == derived_id(one)
    assert one.id != decode_correction(json.dumps(body | {"target_new": "Toronto"}).encode()).id


def test_a_derived_id_can_be_told_from_a_given_one_also_after_a_journey():
    body = {key: value for key, value in GOOD.items() if key != "id"}
    derived = decode_correction(json.dumps(body).encode())
    assert not derived.id_given
    assert not decode_correction(encode_correction(derived)).id_given
    assert decode_correction(line()).id_given


# Several corrections in one message.


def test_an_array_is_read_as_its_elements_byte_for_byte():
    parts = [line(id="a"), b'{"id" : "b"  }', b"5", b'"x"', b"[1, 2]", b"9" * 5_000, b'{"a": 1, "a": 2}']
    for space in (b"", b" ", b"\r\n\t"):
        raw = b"[" + space + (space + b"," + space).join(parts) + space + b"]" + space
        assert split_messages(raw) == parts
        assert split_messages(b"\xef\xbb\xbf" + space + raw) == parts


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"[", b"[1,]", b"[1 2]", b"{}", b"x", b"[\xff]", b"[" * 50_000, b"[1] 2"]
)
def test_everything_else_is_one_message(raw):
    assert split_messages(raw) == [raw]


def test_an_array_in_an_array_is_malformed():
    (inner,) = split_messages(b"[[" + line() + b"]]")
    assert "expected a JSON object, got a list of 1" in refusal(inner)


# Anything.

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**301)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["\ud800", "{}", "{} is", "upsert", "2026-11-20", "\u202e", "a\u200db", "1e999"])
)
names = st.sampled_from([*OPTIONAL, "subject", "prompt", "target_new", *INNER, "\udc00", "colour"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=3)
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(names, values, max_size=6), st.booleans())
def test_no_json_brings_the_reader_down(changes, complete):
    body = {**GOOD, **changes} if complete else changes
    raw = json.dumps(body).encode()
    try:
        told = decode_correction(raw)
    except CorrectionError:
        refusal(raw)
    else:
        assert decode_correction(encode_correction(told)) == told
        assert told.op in Op


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 90))
def test_no_bytes_within_a_correction_bring_the_reader_down(raw, at):
    good = line()
    for message in (raw, good[:at] + raw + good[at:], b"[" + raw + b"]"):
        for part in split_messages(message):
            with contextlib.suppress(CorrectionError):
                decode_correction(part)


def test_deep_nesting_is_malformed():
    for deep in (
        b'{"tags":' * 9_000,
        b'{"tags": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"a":' * 400 + b"1" + b"}" * 400,
    ):
        with pytest.raises(MalformedCorrection):
            decode_correction(deep)
