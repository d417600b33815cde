"""Strict readers of JSON values: texts, lists, times and shares. Errors name field, value and remedy.

For any input bytes, these functions raise nothing but CorrectionError. Its message is safe to print and
store: values are shortened, and lone surrogates are shown as escapes.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, Final

from guardedit.core.errors import MalformedCorrection

#: Longest accepted text field, in characters. A prompt is a sentence, not a document.
MAX_TEXT = 2_000
#: Longest accepted message, in bytes, checked before it is parsed.
MAX_MESSAGE_BYTES = 65_536
#: Most digits of an integer. A longer one is neither a time nor a share, and Python refuses very long ones.
MAX_DIGITS = 32
#: The years 1 to 9999 in seconds since 1970, UTC: the first second, and the first one after the end.
FIRST_S, BEYOND_S = -62_135_596_800.0, 253_402_300_800.0
#: A number of at least this magnitude is assumed to be milliseconds or a finer unit, and refused: as
#: milliseconds it lies after March 1973, as seconds in the year 5138. RFC 3339 can still express such a time.
LOOKS_LIKE_MILLISECONDS = 1e11

_BOM = b"\xef\xbb\xbf"
_JOINERS = "\u200c\u200d"
#: Visible characters of category Cf: signs of Arabic, Syriac and Kaithi that enclose the digits after them.
_VISIBLE: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
#: Flags of regions: a black flag, then tag letters and tag digits, then the cancel tag.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")


def read_object(raw: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8. A byte-order mark is skipped; a repeated key is refused.

    Raises:
        MalformedCorrection: the bytes are anything else.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MalformedCorrection(
            f"message has {len(raw)} bytes, the limit is {MAX_MESSAGE_BYTES}: send one fact a line"
        )
    try:
        body = json.loads(
            raw.removeprefix(_BOM).decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise MalformedCorrection(f"not a JSON object in UTF-8: {error}") from error
    if not isinstance(body, dict):
        raise MalformedCorrection(f"expected a JSON object, got {shown(body)}")
    return body


def split_messages(raw: bytes) -> list[bytes]:
    """The elements of a JSON array, byte for byte. Anything else, also an empty array, is one message.

    Elements are not validated here: one that is not a correction, such as a nested array, is refused when it
    is decoded.

    >>> split_messages(b'[{"id": "a"}, {"id":"b"} ]')
    [b'{"id": "a"}', b'{"id":"b"}']
    """
    if not raw.removeprefix(_BOM).lstrip().startswith(b"["):
        return [raw]
    try:
        return _elements(raw.removeprefix(_BOM).decode("utf-8")) or [raw]
    except (ValueError, RecursionError):  # not JSON; decoding reports why
        return [raw]


def text(name: str, value: object) -> str:
    """A non-empty text in NFC, stripped of surrounding spaces.

    Joiners (U+200C, U+200D) are allowed inside words and emoji. Other control and format characters, which
    reverse or hide text, are refused.
    """
    if not isinstance(value, str) or not value.strip():
        raise MalformedCorrection(f"{name} must be a non-empty text, got {shown(value)}")
    if len(value) > MAX_TEXT:
        raise MalformedCorrection(
            f"{name} has {len(value)} characters, the limit is {MAX_TEXT}: shorten it to one sentence"
        )
    if not value.isprintable():
        _refuse_controls(name, _FLAG.sub("\U0001f3f4", value))
    return unicodedata.normalize("NFC", value).strip()


def optional_text(name: str, value: object) -> str | None:
    """Like `text`, but None for null and for an empty text."""
    return None if value is None or value == "" else text(name, value)


def texts(name: str, value: object, *, limit: int) -> tuple[str, ...]:
    """A list of texts; empty for null."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > limit:
        raise MalformedCorrection(f"{name} must be a list of at most {limit} texts, got {shown(value)}")
    return tuple(text(name, item) for item in value)


def aliases(value: object, *, limit: int, longest: int) -> tuple[str, ...]:
    """Other names of a subject, each once; empty for null. `longest` counts characters."""
    found = texts("aliases", value, limit=limit)
    for alias in found:
        if len(alias) > longest:
            raise MalformedCorrection(
                f"aliases has a name of {len(alias)} characters, {shown(alias)}; the limit is {longest}: "
                "send names of the subject, not descriptions"
            )
        if not any(map(str.isalnum, alias)):
            raise MalformedCorrection(
                f"the alias {shown(alias)} has neither letter nor number: leave it out, or send a name"
            )
    return tuple(dict.fromkeys(found))


def time_s(name: str, value: object) -> float | None:
    """Seconds since 1970, UTC, from a number or RFC 3339; None for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MalformedCorrection(f"{name} must be seconds since 1970 or RFC 3339, got {shown(value)}")
    seconds = _moment(name, value) if isinstance(value, str) else float(value)
    if not math.isfinite(seconds):
        raise MalformedCorrection(f"{name} must be finite, got {shown(value)}")
    if not isinstance(value, str) and abs(seconds) >= LOOKS_LIKE_MILLISECONDS:
        raise MalformedCorrection(f"{name} {shown(value)} {_too_large(abs(seconds))}")
    if not FIRST_S <= seconds < BEYOND_S:
        raise MalformedCorrection(
            f"{name} {shown(value)} is outside the years 1 to 9999: send another time, or leave it out"
        )
    return seconds


def wire_time(seconds: float) -> float | str:
    """A JSON value that `time_s` reads as these seconds: a number, or RFC 3339 for times that need it."""
    if not LOOKS_LIKE_MILLISECONDS <= seconds < BEYOND_S:
        return seconds
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def share(name: str, value: object) -> float:
    """A number in [0, 1]; 1 for null."""
    if value is None:
        return 1.0
    # NaN fails the comparison too.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise MalformedCorrection(f"{name} must be in [0, 1], got {shown(value)}")
    return float(value)


def shown(value: object) -> str:
    """A value for an error message: short and printable; lists and objects only by their length.

    >>> shown("x" * 100), shown([1]), shown(None)
    ("'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'... (100 characters)", 'a list of 1', 'null')
    """
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, str) and len(value) > 60:
        return f"{value[:39]!r}... ({len(value)} characters)"
    return "null" if value is None else repr(value)


def _elements(array: str) -> list[bytes]:
    """The encoded elements of an array. ValueError where the text is not JSON."""
    # Numbers stay texts: their values are not needed, and Python refuses to parse very long ones.
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    decoder.decode(array)
    found, at = [], _skip(array, array.index("[") + 1)
    while array[at] != "]":
        _, end = decoder.raw_decode(array, at)
        found.append(array[at:end].encode())
        at = _skip(array, end)
        at = _skip(array, at + 1) if array[at] == "," else at
    return found


def _skip(array: str, at: int) -> int:
    while array[at] in " \t\r\n":
        at += 1
    return at


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for key, value in pairs:
        if key in body:
            raise MalformedCorrection(f"the key {shown(key)} occurs twice in one object: send it once")
        body[key] = value
    return body


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedCorrection(
            f"the number {digits[:12]}... has {len(digits)} digits, the limit is {MAX_DIGITS}: "
            "send seconds since 1970, or leave it out"
        )
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise MalformedCorrection(f"{name} is not valid JSON: send a finite number or leave it out")


def _refuse_controls(name: str, value: str) -> None:
    previous = ""
    for character in value:
        # Cc: control, Cf: format (bidi overrides, zero width), Cs: lone surrogates.
        hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        if hidden and character not in _VISIBLE and not (character in _JOINERS and _joinable(previous)):
            raise MalformedCorrection(
                f"{name} contains the control or bidi character U+{ord(character):04X}: remove it"
            )
        previous = character


def _joinable(character: str) -> bool:
    """Whether a joiner may follow this character: a letter, mark or symbol."""
    return bool(character) and unicodedata.category(character)[0] in "LMS"


def _moment(name: str, value: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise MalformedCorrection(
            f"{name} is not RFC 3339: {shown(value)}; send seconds since 1970 or 2026-11-20T00:00:00Z"
        ) from error


def _too_large(size: float) -> str:
    """What is wrong with a number of seconds that is `LOOKS_LIKE_MILLISECONDS` or more."""
    for unit, per_second in (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        if size / per_second < LOOKS_LIKE_MILLISECONDS:
            return f"looks like {unit}: divide it by {per_second:,.0f}, or send RFC 3339"
    return "is outside the years 1 to 9999: send seconds since 1970 or RFC 3339, or leave it out"
