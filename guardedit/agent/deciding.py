"""Steps 1 and 2: from raw bytes to a settlement. Pure: reads what it is given, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.correction import Correction, Op, content_sha256, decode_correction
from guardedit.core.decision import Decision, Route
from guardedit.core.epoch import Change
from guardedit.core.errors import CorrectionError, IdReuse
from guardedit.core.fact import Fact, FactKey, distinct_wordings
from guardedit.core.messages import LastChange, Received, Settlement
from guardedit.core.receipt import Fate
from guardedit.naming import identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a decision may depend on: the ledger, and the settlements of the batch that come before."""

    live: Callable[[FactKey], Fact | None]
    about: Callable[[str, str], Sequence[Fact]]  # live facts of a subject's name in a tenant
    canonical: Callable[[FactKey], FactKey]  # the spelling under which a key was first recorded
    latest: Callable[[FactKey], int]  # highest version ever given to a key, 0 for none
    last: Callable[[FactKey], LastChange | None]  # its latest change
    content: Callable[[str], str | None]  # correction id -> content digest of a decided one


def read(received: Received, check: Callable[[Correction], None]) -> Correction | Settlement:
    """The correction, or the dead letter that its bytes deserve.

    `check` raises CorrectionError for what only the model's tokenizer can tell.
    """
    try:
        correction = decode_correction(received.raw)
        check(correction)
    except CorrectionError as error:
        return dead(received, error)
    except Exception as error:  # noqa: BLE001 - no message may stop the loop, whatever it makes a library do
        return poisoned(received, "decode", error)
    return correction


def dead(received: Received, error: CorrectionError) -> Settlement:
    """A dead letter; the inbox keeps the original bytes."""
    return Settlement(seq=received.seq, fate=Fate.DEAD, reason=f"{error.reason}: {error}")


def poisoned(received: Received, stage: str, error: Exception) -> Settlement:
    """The dead letter of a message that made `stage` fail in a way nobody foresaw."""
    text = f"{type(error).__name__}: {str(error)[:500]}".encode("utf-8", "backslashreplace").decode()
    return Settlement(seq=received.seq, fate=Fate.DEAD, reason=f"{stage}_failed: {text}")


def repeated(received: Received, correction: Correction, known: Known) -> Correction | Settlement:
    """The correction under the id it is recorded by, or the settlement of one that was seen before.

    An id that its sender gave names one content for ever. A correction without one is named by its content,
    and is a redelivery unless another version of its key came in between: then it is said anew, under a
    number of its own.
    """
    earlier = known.content(correction.id)
    if earlier is None:
        return correction
    if correction.id_given:
        if earlier == content_sha256(correction):
            return _duplicate(received, correction.id)
        error = IdReuse(f"id {correction.id!r} was used for another content: send the change under a new id")
        return dead(received, error)
    family = [correction.id]
    while known.content(following := f"{correction.id}~{len(family) + 1}") is not None:
        family.append(following)
    last = known.last(key_of(correction, known))
    if last is None or last.correction_id in family:
        return _duplicate(received, family[-1])
    return replace(correction, id=following)


def key_of(correction: Correction, known: Known) -> FactKey:
    """What the correction is about, in the spelling in which it was first recorded.

    Without a relation the prompt stands for it; a live fact that is asked in just these words is then meant.
    """
    key = known.canonical(correction.key)
    if correction.relation or known.live(key) is not None:
        return key
    asked = identity(correction.wordings[0])
    about = known.about(correction.subject, correction.tenant)
    return next((f.key for f in about if asked in map(identity, f.wordings)), key)


def settle(
    received: Received,
    correction: Correction,
    decision: Decision,
    known: Known,
    *,
    already: bool,
    newest: bool,
) -> Settlement:
    """What becomes of a correction, given the policy's decision.

    Args:
        received: its row of the inbox.
        correction: what it says.
        decision: the policy's.
        known: what is known before it.
        already: what is served answers every wording with the new target by itself.
        newest: a report that is older than what is live loses; else the last arrival wins.
    """
    settled = Settlement(
        seq=received.seq, fate=Fate.ACCEPTED, correction=correction, decision=decision, reason=decision.reason
    )
    if decision.route is Route.REJECT:
        return replace(settled, fate=Fate.REJECTED)
    if decision.route is Route.HOLD:
        return replace(settled, fate=Fate.HELD)
    key = key_of(correction, known)
    current, same = known.live(key), asked_alike(correction, key, known)
    if newest and (why := _late(correction, [key, *(fact.key for fact in same)], known)):
        return replace(settled, fate=Fate.SUPERSEDED, reason=why)
    if not same and (why := _no_op(correction, current, already=already)):
        return replace(settled, fate=Fate.UNCHANGED, reason=why)
    gone = tuple(Change(fact.key, None) for fact in same)
    if correction.op is Op.RETRACT:
        first, *rest = [*([Change(key, None)] if current else []), *gone]
        return replace(settled, change=first, displaced=tuple(rest))
    version = known.latest(key) + 1
    fact = _fact(correction, decision, key, current, version=version)
    return replace(settled, change=Change(key, fact), displaced=gone)


def asked_alike(correction: Correction, key: FactKey, known: Known) -> list[Fact]:
    """Live facts under other keys that are asked in the correction's own words: two answers cannot stand."""
    asked = identity(correction.wordings[0])
    templates = {identity(text) for text in (correction.prompt, *correction.paraphrases)}
    return [
        fact
        for fact in known.about(correction.subject, correction.tenant)
        if fact.key != key and (identity(fact.prompt) == asked or identity(fact.key.relation) in templates)
    ]


def as_told(correction: Correction) -> Fact:
    """The first version of the fact that a correction makes where nothing is known of its key."""
    return Fact(
        key=correction.key,
        version=1,
        correction_id=correction.id,
        wordings=correction.wordings,
        target=correction.target_new,
        subject_at=correction.subject_at,
    )


def _duplicate(received: Received, correction_id: str) -> Settlement:
    return Settlement(seq=received.seq, fate=Fate.DUPLICATE, reason=f"id {correction_id} is settled")


def _late(correction: Correction, keys: Sequence[FactKey], known: Known) -> str:
    """Why the correction comes too late; empty where it does not."""
    said_s = correction.provenance.time_s
    for key in keys:
        last = known.last(key)
        if said_s is None or last is None or last.reported_at_s is None:
            continue
        if said_s < last.reported_at_s:
            return (
                f"its source said so at {said_s:.0f}, and correction {last.correction_id} said otherwise "
                f"later, at {last.reported_at_s:.0f}: send it with a newer provenance.time_s to have it win"
            )
    return ""


def _no_op(correction: Correction, current: Fact | None, *, already: bool) -> str:
    """Why nothing has to change; empty when something has to."""
    if current is None:
        if correction.op is Op.RETRACT:
            return "nothing is live for this key"
        return "the model already says so" if already else ""
    if correction.op is Op.UPSERT and _says_nothing_new(current, correction):
        return "the live fact already says so"
    return ""


def _says_nothing_new(current: Fact, correction: Correction) -> bool:
    return (
        current.target == correction.target_new
        and set(correction.wordings) <= set(current.wordings)
        and current.valid_until_s == correction.valid_until_s
    )


def _fact(
    correction: Correction, decision: Decision, key: FactKey, current: Fact | None, *, version: int
) -> Fact:
    told = correction.worded
    if current is not None and current.target == correction.target_new:
        # New wordings of a live fact add to the old ones; a new answer starts afresh.
        told = (*current.worded, *told)
    wordings, subject_at = distinct_wordings(told)
    return Fact(
        key=key,
        version=version,
        correction_id=correction.id,
        wordings=wordings,
        target=correction.target_new,
        valid_until_s=correction.valid_until_s,
        method=decision.method if decision.route is Route.WEIGHTS else "",
        subject_at=subject_at,
        reported_at_s=correction.provenance.time_s,
    )
