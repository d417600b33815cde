"""A correction: one request to change one fact. Encodes it as JSON and decodes it strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from guardedit.core import wire
from guardedit.core.errors import MalformedCorrection, SubjectNotFound, warn_renamed
from guardedit.core.fact import UNKNOWN_SPAN, FactKey, Wording, locate_subjects
from guardedit.core.wire import MAX_MESSAGE_BYTES, MAX_TEXT, split_messages

__all__ = [
    "MAX_ALIASES",
    "MAX_ALIAS_CHARACTERS",
    "MAX_MESSAGE_BYTES",
    "MAX_PARAPHRASES",
    "MAX_TEXT",
    "RENAMED_FIELDS",
    "SIGNED",
    "Correction",
    "Op",
    "Provenance",
    "content_sha256",
    "decode_correction",
    "derived_id",
    "encode_correction",
    "split_messages",
]

MAX_PARAPHRASES = 32
MAX_TAGS = 32
#: Most other names of a subject, and characters of the longest one.
MAX_ALIASES, MAX_ALIAS_CHARACTERS = 16, 200
#: Old name, as of version 0.1 -> present name of a field.
RENAMED_FIELDS = {"scope": "tenant"}
_TIMES = frozenset({"valid_from_s", "valid_until_s", "time_s"})
#: How a signature begins: `ed25519:KEY:BASE64` (see the package `signing`). Other texts are no signature.
SIGNED = "ed25519:"


class Op(StrEnum):
    """What to do with the fact."""

    UPSERT = "upsert"
    RETRACT = "retract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The source of a correction. `confidence` is in [0, 1]; `time_s` is seconds since 1970, UTC.

    `signature` is `ed25519:KEY:BASE64`, made by one of the keys that the policy has for the source.
    """

    source: str = "unknown"
    author: str = ""
    time_s: float | None = None
    confidence: float = 1.0
    evidence: tuple[str, ...] = ()
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One request to change one fact.

    Attributes:
        id: given by the sender, or derived from the content.
        subject: what the fact is about.
        aliases: other names of the subject. Questions may use them; which fact a correction is about depends
            on the subject alone.
        prompt: a question with `{}` in place of the subject; it ends where the answer begins.
        target_new: the answer that is asked for; "" for a retraction.
        target_true: the answer that it replaces, where the sender knows it.
        paraphrases: further questions of the same form.
        relation: names the question; without it the prompt does.
        tenant: who owns the fact.
        tags: tags that the policy's rules can match.
        valid_from_s: seconds since 1970, UTC; None: at once.
        valid_until_s: seconds since 1970, UTC; None: no expiry.
        op: set the fact, or remove it.
        provenance: the source.
    """

    id: str
    subject: str
    prompt: str
    target_new: str
    target_true: str | None = None
    paraphrases: tuple[str, ...] = ()
    relation: str = ""
    tenant: str = "default"
    tags: tuple[str, ...] = ()
    valid_from_s: float | None = None
    valid_until_s: float | None = None
    op: Op = Op.UPSERT
    provenance: Provenance = field(default_factory=Provenance)
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> FactKey:
        """What the correction is about; the prompt takes the place of a missing relation."""
        return FactKey(self.subject, self.relation or self.prompt, self.tenant)

    @property
    def wordings(self) -> tuple[str, ...]:
        """Prompt and paraphrases with the subject filled in."""
        return tuple(text.replace("{}", self.subject) for text in (self.prompt, *self.paraphrases))

    @property
    def subject_at(self) -> tuple[tuple[int, int], ...]:
        """For each of `wordings` the characters [start, end) of the subject.

        >>> one = Correction(id="a", subject="York", prompt="Is {} not New York?", target_new="yes")
        >>> one.wordings, one.subject_at
        (('Is York not New York?',), ((3, 7),))
        """
        starts = [text.find("{}") for text in (self.prompt, *self.paraphrases)]
        return tuple((at, at + len(self.subject)) if at >= 0 else UNKNOWN_SPAN for at in starts)

    @property
    def located_wordings(self) -> tuple[Wording, ...]:
        """Each of `wordings` with the span of its subject."""
        return locate_subjects(self.wordings, self.subject_at)

    @property
    def id_given(self) -> bool:
        """Whether the sender chose the id; otherwise it was derived from the content.

        A signature covers the id, so that of a signed correction was chosen.
        """
        return self.signed or self.id != derived_id(self)

    @property
    def signed(self) -> bool:
        """Whether it has a signature, which may be wrong."""
        return self.provenance.signature.startswith(SIGNED)


def encode_correction(correction: Correction) -> bytes:
    """The canonical JSON line: sorted keys, no spaces, fields at their defaults left out."""
    body: dict[str, Any] = {}
    for name, value in _plain(correction, Correction).items():
        if name == "provenance":
            if inner := _plain(value, Provenance):
                body[name] = inner
        else:
            body[name] = value
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def content_sha256(correction: Correction) -> str:
    """Digest of everything but id and signature: distinguishes a repeated message from a reused id."""
    if correction.signed:
        provenance = replace(correction.provenance, signature="")
        correction = replace(correction, provenance=provenance)
    body = json.loads(encode_correction(correction))
    body.pop("id", None)
    # Version 0.1 called the tenant `scope`. The digest, and ids derived from it, must stay what they were.
    if "tenant" in body:
        body["scope"] = body.pop("tenant")
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def derived_id(correction: Correction) -> str:
    """The id of a correction that was sent without one: a digest of its content.

    It does not depend on spacing, the order of keys, or fields that are given with their default value.
    """
    return content_sha256(correction)[:32]


def decode_correction(raw: bytes, *, recorded: bool = False) -> Correction:
    """Decode one JSON object strictly. null is the same as leaving an optional field out.

    Args:
        raw: the message.
        recorded: the message comes from the ledger, where old field names stay forever: do not warn.

    Raises:
        MalformedCorrection: with the field, its value and the remedy.
        SubjectNotFound: a prompt does not have exactly one `{}`.
    """
    body = _renamed(wire.read_object(raw), warn=not recorded)
    _refuse_unknown(body, Correction)
    correction = _read(body)
    start, end = correction.valid_from_s, correction.valid_until_s
    if start is not None and end is not None and end <= start:
        raise MalformedCorrection(
            f"valid_until_s {end} is not after valid_from_s {start}: swap or change them"
        )
    return correction if correction.id else replace(correction, id=derived_id(correction))


def _renamed(body: dict[str, Any], *, warn: bool) -> dict[str, Any]:
    """The body with old field names replaced by the present ones."""
    for old, new in RENAMED_FIELDS.items():
        if old in body:
            if new in body:
                raise MalformedCorrection(f"{old} is the old name of {new}: send {new} alone")
            if warn:
                warn_renamed("field", old, new)
            body[new] = body.pop(old)
    return body


def _read(body: Mapping[str, object]) -> Correction:
    op = _op(body.get("op"))
    return Correction(
        id=wire.optional_text("id", body.get("id")) or "",
        subject=wire.text("subject", body.get("subject")),
        prompt=_prompt("prompt", body.get("prompt")),
        # A retraction needs no new answer.
        target_new="" if op is Op.RETRACT else wire.text("target_new", body.get("target_new")),
        target_true=wire.optional_text("target_true", body.get("target_true")),
        paraphrases=tuple(
            _prompt("paraphrases", text)
            for text in wire.texts("paraphrases", body.get("paraphrases"), limit=MAX_PARAPHRASES)
        ),
        relation=wire.optional_text("relation", body.get("relation")) or "",
        tenant=wire.optional_text("tenant", body.get("tenant")) or "default",
        tags=wire.texts("tags", body.get("tags"), limit=MAX_TAGS),
        valid_from_s=wire.time_s("valid_from_s", body.get("valid_from_s")),
        valid_until_s=wire.time_s("valid_until_s", body.get("valid_until_s")),
        op=op,
        provenance=_provenance(body.get("provenance")),
        aliases=wire.aliases(body.get("aliases"), limit=MAX_ALIASES, longest=MAX_ALIAS_CHARACTERS),
    )


def _plain(record: Correction | Provenance, kind: type) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in fields(kind):
        value = getattr(record, item.name)
        if value not in (None, (), "") and value != item.default:
            values[item.name] = _wire(item.name, value)
    return values


def _wire(name: str, value: Any) -> Any:
    if name in _TIMES:
        return wire.wire_time(value)
    return list(value) if isinstance(value, tuple) else value


def _prompt(name: str, value: object) -> str:
    text = wire.text(name, value)
    if text.count("{}") != 1:
        raise SubjectNotFound(
            f"{name} {wire.shown(text)} must contain {{}} exactly once, in place of the subject"
        )
    return text


def _op(value: object) -> Op:
    if value is None:
        return Op.UPSERT
    if not isinstance(value, str) or value not in tuple(Op):
        raise MalformedCorrection(f"op must be upsert or retract, got {wire.shown(value)}")
    return Op(value)


def _provenance(value: object) -> Provenance:
    if value is None:
        return Provenance()
    if not isinstance(value, dict):
        raise MalformedCorrection(f"provenance must be an object, got {wire.shown(value)}")
    _refuse_unknown(value, Provenance, "provenance.")
    return Provenance(
        source=wire.optional_text("provenance.source", value.get("source")) or "unknown",
        author=wire.optional_text("provenance.author", value.get("author")) or "",
        time_s=wire.time_s("provenance.time_s", value.get("time_s")),
        confidence=wire.share("provenance.confidence", value.get("confidence")),
        evidence=wire.texts("provenance.evidence", value.get("evidence"), limit=MAX_PARAPHRASES),
        signature=wire.optional_text("provenance.signature", value.get("signature")) or "",
    )


def _refuse_unknown(body: Mapping[str, object], kind: type, prefix: str = "") -> None:
    known = {item.name for item in fields(kind)}
    if unknown := sorted(set(body) - known):
        names = ", ".join(sorted(known))
        raise MalformedCorrection(f"unknown field {wire.shown(prefix + unknown[0])}; known: {names}")
