"""A correction: one request to change one fact, and the strict reading of its wire form."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from guardedit.core.errors import MalformedCorrection, SubjectNotFound
from guardedit.core.fact import FactKey

#: Longest accepted text field, in characters. A prompt is a sentence, not a document.
MAX_TEXT = 2_000
#: Longest accepted message, in bytes, checked before it is parsed.
MAX_MESSAGE_BYTES = 65_536
MAX_PARAPHRASES = 32


class Op(StrEnum):
    """What to do with the fact."""

    UPSERT = "upsert"
    RETRACT = "retract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who says so. `confidence` is in [0, 1]; `time_s` is seconds since 1970, UTC."""

    source: str = "unknown"
    author: str = ""
    time_s: float | None = None
    confidence: float = 1.0
    evidence: tuple[str, ...] = ()
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One request to change one fact.

    `prompt` and every paraphrase hold `{}` where the subject stands and end where the answer begins.
    Times are seconds since 1970, UTC; `valid_until_s` None means no expiry.
    """

    id: str
    subject: str
    prompt: str
    target_new: str
    target_true: str | None = None
    paraphrases: tuple[str, ...] = ()
    relation: str = ""
    scope: str = "default"
    tags: tuple[str, ...] = ()
    valid_from_s: float | None = None
    valid_until_s: float | None = None
    op: Op = Op.UPSERT
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def key(self) -> FactKey:
        """What the correction is about; without a relation the prompt stands for it."""
        return FactKey(self.subject, self.relation or self.prompt, self.scope)

    @property
    def wordings(self) -> tuple[str, ...]:
        """Prompt and paraphrases with the subject filled in."""
        return tuple(text.replace("{}", self.subject) for text in (self.prompt, *self.paraphrases))


def encode_correction(correction: Correction) -> bytes:
    """The canonical JSON line: sorted keys, no spaces, defaults left out."""
    body: dict[str, Any] = {}
    for name, value in _plain(correction, Correction).items():
        if name == "provenance":
            if inner := _plain(value, Provenance):
                body[name] = inner
        else:
            body[name] = value
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def content_sha256(correction: Correction) -> str:
    """Digest of everything but the id: tells a repeated message from a reused id."""
    body = json.loads(encode_correction(correction))
    del body["id"]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def decode_correction(raw: bytes) -> Correction:
    """Read one JSON object strictly.

    Raises:
        MalformedCorrection: with the field, its value and the remedy.
        SubjectNotFound: when a prompt has no `{}` for the subject.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MalformedCorrection(
            f"message has {len(raw)} bytes, the limit is {MAX_MESSAGE_BYTES}: send one fact a line"
        )
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise MalformedCorrection(f"not a JSON object in UTF-8: {error}") from error
    if not isinstance(body, dict):
        raise MalformedCorrection(f"expected a JSON object, got {type(body).__name__}")
    known = {f.name for f in fields(Correction)}
    if unknown := sorted(set(body) - known):
        raise MalformedCorrection(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    op = _op(body.get("op", Op.UPSERT))
    prompt = _prompt("prompt", body.get("prompt"))
    correction_id = _text("id", body["id"]) if "id" in body else ""
    correction = Correction(
        id=correction_id or hashlib.sha256(raw.strip()).hexdigest()[:32],
        subject=_text("subject", body.get("subject")),
        prompt=prompt,
        # A retraction names no new answer; everything else must.
        target_new="" if op is Op.RETRACT else _text("target_new", body.get("target_new")),
        target_true=_optional_text("target_true", body.get("target_true")),
        paraphrases=tuple(
            _prompt("paraphrases", text)
            for text in _list("paraphrases", body.get("paraphrases", []), MAX_PARAPHRASES)
        ),
        relation=_optional_text("relation", body.get("relation")) or "",
        scope=_optional_text("scope", body.get("scope")) or "default",
        tags=tuple(_text("tags", tag) for tag in _list("tags", body.get("tags", []), 32)),
        valid_from_s=_time("valid_from_s", body.get("valid_from_s")),
        valid_until_s=_time("valid_until_s", body.get("valid_until_s")),
        op=op,
        provenance=_provenance(body.get("provenance", {})),
    )
    start, end = correction.valid_from_s, correction.valid_until_s
    if start is not None and end is not None and end <= start:
        raise MalformedCorrection(f"valid_until_s {end} is not after valid_from_s {start}")
    return correction


def _plain(record: Correction | Provenance, kind: type) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in fields(kind):
        value = getattr(record, item.name)
        if value not in (None, (), "") and value != item.default:
            values[item.name] = list(value) if isinstance(value, tuple) else value
    return values


def _refuse_constant(name: str) -> None:
    raise MalformedCorrection(f"{name} is not a number JSON allows: send a finite value or leave it out")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise MalformedCorrection(f"{name} must be a non-empty text, got {value!r}")
    if len(value) > MAX_TEXT:
        raise MalformedCorrection(
            f"{name} has {len(value)} characters, the limit is {MAX_TEXT}: shorten it to one sentence"
        )
    for character in value:
        # Cc: control, Cf: format (bidi overrides, zero width), Cs: lone surrogates.
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            raise MalformedCorrection(
                f"{name} holds the control or bidi character U+{ord(character):04X}: remove it"
            )
    return unicodedata.normalize("NFC", value).strip()


def _optional_text(name: str, value: object) -> str | None:
    return None if value is None or value == "" else _text(name, value)


def _prompt(name: str, value: object) -> str:
    text = _text(name, value)
    if text.count("{}") != 1:
        raise SubjectNotFound(f"{name} {text[:80]!r} must hold {{}} exactly once, where the subject stands")
    return text


def _list(name: str, value: object, limit: int) -> list[object]:
    if not isinstance(value, list) or len(value) > limit:
        raise MalformedCorrection(f"{name} must be a list of at most {limit} texts, got {value!r:.80}")
    return value


def _time(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MalformedCorrection(f"{name} must be seconds since 1970 or RFC 3339, got {value!r}")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise MalformedCorrection(f"{name} is not RFC 3339: {value!r}") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(value):
        raise MalformedCorrection(f"{name} must be finite, got {value!r}")
    return float(value)


def _op(value: object) -> Op:
    try:
        return Op(value)  # type: ignore[arg-type]  # the except names what is wrong
    except ValueError:
        raise MalformedCorrection(f"op must be upsert or retract, got {value!r}") from None


def _provenance(value: object) -> Provenance:
    if not isinstance(value, dict):
        raise MalformedCorrection(f"provenance must be an object, got {value!r:.80}")
    known = {f.name for f in fields(Provenance)}
    if unknown := sorted(set(value) - known):
        raise MalformedCorrection(f"unknown field provenance.{unknown[0]}")
    confidence = value.get("confidence", 1.0)
    if (
        isinstance(confidence, bool)
        or not isinstance(confidence, (int, float))
        or not (
            0.0 <= confidence <= 1.0  # NaN fails this too
        )
    ):
        raise MalformedCorrection(f"provenance.confidence must be in [0, 1], got {confidence!r}")
    evidence = _list("provenance.evidence", value.get("evidence", []), MAX_PARAPHRASES)
    return Provenance(
        source=_optional_text("provenance.source", value.get("source")) or "unknown",
        author=_optional_text("provenance.author", value.get("author")) or "",
        time_s=_time("provenance.time_s", value.get("time_s")),
        confidence=float(confidence),
        evidence=tuple(_text("provenance.evidence", item) for item in evidence),
        signature=_optional_text("provenance.signature", value.get("signature")) or "",
    )
