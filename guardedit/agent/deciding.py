"""Step 2 for one message: turns raw bytes into a settlement. Pure; `decider` calls it for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from guardedit.core.correction import MAX_ALIASES, Correction, Op, content_sha256, decode_correction
from guardedit.core.decision import Decision, Route
from guardedit.core.epoch import Change
from guardedit.core.errors import CorrectionError, IdReuse
from guardedit.core.fact import Fact, FactKey, distinct_wordings
from guardedit.core.messages import Fate, LastChange, Received, Settlement
from guardedit.naming import Relations, identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a decision may depend on: the ledger, and the settlements of earlier messages of the batch.

    Attributes:
        live: the live fact of a key.
        about: the live facts of a (subject, tenant), in any spelling of the subject.
        canonical: a key in the spelling in which it was first recorded.
        latest_version: the highest version that a key ever had, 0 for none.
        last_change: the latest change of a key.
        content: correction id -> content digest of a correction that was decided.
        relations: the relations that the policy declares.
        related: live facts, visible to the key's tenant, that share an end with a statement (key, target).
    """

    live: Callable[[FactKey], Fact | None]
    about: Callable[[str, str], Sequence[Fact]]
    canonical: Callable[[FactKey], FactKey]
    latest_version: Callable[[FactKey], int]
    last_change: Callable[[FactKey], LastChange | None]
    content: Callable[[str], str | None]
    relations: Relations = field(default_factory=Relations)
    related: Callable[[FactKey, str], Sequence[Fact]] = lambda *_: ()


@dataclass(frozen=True, slots=True)
class Read:
    """A decoded correction, and the id of the key that signed it; "" where its source has no keys."""

    correction: Correction
    signed_by: str


def read(
    received: Received,
    check: Callable[[Correction], None],
    signed_by: Callable[[Received, Correction], str],
) -> Read | Settlement:
    """The decoded correction, or a dead letter.

    `check` and `signed_by` raise CorrectionError: for problems that only the model's tokenizer can find, and
    for a signature that is missing or does not hold.
    """
    try:
        correction = decode_correction(received.raw)
        check(correction)
        found = Read(correction, signed_by(received, correction))
    except CorrectionError as error:
        return dead_letter(received, error)
    except Exception as error:  # noqa: BLE001 - no message may stop the loop, whatever error a library raises
        return failed_letter(received, "decode", error)
    return found


def dead_letter(received: Received, error: CorrectionError) -> Settlement:
    """The settlement of a wrong message; the inbox keeps the original bytes."""
    return Settlement(seq=received.seq, fate=Fate.DEAD, reason=f"{error.reason}: {error}")


def failed_letter(received: Received, stage: str, error: Exception) -> Settlement:
    """The dead letter of a message for which `stage` raised an unexpected error."""
    text = f"{type(error).__name__}: {str(error)[:500]}".encode("utf-8", "backslashreplace").decode()
    return Settlement(seq=received.seq, fate=Fate.DEAD, reason=f"{stage}_failed: {text}")


def repeated(received: Received, correction: Correction, known: Known) -> Correction | Settlement:
    """The correction with the id to record it by, or the settlement of a duplicate.

    An id that the sender chose may be used for one content only. A correction without an id is identified by
    its content: it is a duplicate, unless its key has changed since. In that case it is a new correction and
    gets a numbered id.
    """
    earlier = known.content(correction.id)
    if earlier is None:
        return correction
    if correction.id_given:
        if earlier == content_sha256(correction):
            return _duplicate(received, correction.id)
        error = IdReuse(f"id {correction.id!r} was used for other content: send the change with a new id")
        return dead_letter(received, error)
    family = [correction.id]
    while known.content(following := f"{correction.id}~{len(family) + 1}") is not None:
        family.append(following)
    key = key_of(correction, known)
    last = known.last_change(key)
    if not _ends_many(correction, key, known) and (last is None or last.correction_id in family):
        return _duplicate(received, family[-1])
    return replace(correction, id=following)


def _ends_many(correction: Correction, key: FactKey, known: Known) -> bool:
    """Whether it retracts all targets of a relation and there are some. Such a key has no last change."""
    all_of_them = known.relations.is_many_valued(key.relation) and not key.target
    return all_of_them and bool(displaced(correction, key, known))


def key_of(correction: Correction, known: Known) -> FactKey:
    """The key that the correction is about, in the spelling in which it was first recorded.

    Without a relation the prompt takes its place, unless a live fact has this very question as a wording:
    then the key is that fact's. Where the relation is many-valued, the target belongs to the key. A
    retraction names it as `target_true`; without one it is about all targets, and its key has none.
    """
    key = _with_target(correction.key, correction, known)
    if correction.relation or known.live(key) is not None:
        return key
    asked = identity(correction.wordings[0])
    about = known.about(correction.subject, correction.tenant)
    asking = next((f.key for f in about if asked in map(identity, f.wordings)), None)
    return key if asking is None else _with_target(asking._replace(target=""), correction, known)


def _with_target(key: FactKey, correction: Correction, known: Known) -> FactKey:
    if known.relations.is_many_valued(key.relation):
        target = correction.target_new if correction.op is Op.UPSERT else correction.target_true
        key = key._replace(target=target or "")
    return known.canonical(key)


def settle(
    received: Received,
    correction: Correction,
    decision: Decision,
    known: Known,
    *,
    already_answered: bool,
    newest_report_wins: bool,
) -> Settlement:
    """The settlement of a correction, given the policy's decision.

    Args:
        received: the row of the inbox.
        correction: the decoded correction.
        decision: the policy's decision.
        known: the state before this correction.
        already_answered: the serving epoch already answers every wording with the target.
        newest_report_wins: a report older than the live fact's is superseded; else the last arrival wins.
    """
    settled = Settlement(
        seq=received.seq, fate=Fate.ACCEPTED, correction=correction, decision=decision, reason=decision.reason
    )
    if decision.route is Route.REJECT:
        return replace(settled, fate=Fate.REJECTED)
    if decision.route is Route.HOLD:
        return replace(settled, fate=Fate.HELD)
    key = key_of(correction, known)
    current, ended = known.live(key), displaced(correction, key, known)
    keys = [key, *(fact.key for fact in ended)]
    if newest_report_wins and (why := _superseded(correction, keys, known)):
        return replace(settled, fate=Fate.SUPERSEDED, reason=why)
    if not ended and (why := _unchanged(correction, current, already_answered=already_answered)):
        return replace(settled, fate=Fate.UNCHANGED, reason=why)
    removed = tuple(Change(fact.key, None) for fact in ended)
    if correction.op is Op.RETRACT:
        first, *rest = [*([Change(key, None)] if current else []), *removed]
        return replace(settled, change=first, displaced=tuple(rest))
    version = known.latest_version(key) + 1
    fact = _new_fact(correction, decision, key, current, version=version)
    return replace(settled, change=Change(key, fact), displaced=removed)


def displaced(correction: Correction, key: FactKey, known: Known) -> list[Fact]:
    """Live facts with another key that the correction ends.

    Of a functional relation: facts with the same subject and relation, whose keys have a target or another
    spelling from before, and those with the correction's own question, since it cannot have two answers.
    Of a many-valued relation: only the target that the correction replaces or retracts (`target_true`); a
    retraction without one ends all of them.
    """
    others = [fact for fact in known.about(correction.subject, correction.tenant) if fact.key != key]
    relation = identity(key.relation)
    if not known.relations.is_many_valued(key.relation):
        asked = identity(correction.wordings[0])
        templates = {identity(text) for text in (correction.prompt, *correction.paraphrases)}
        return [
            fact
            for fact in others
            if identity(fact.key.relation) == relation
            or (identity(fact.key.relation) in templates and not fact.key.target)
            or (identity(fact.prompt) == asked and not fact.key.target)
        ]
    same = [fact for fact in others if identity(fact.key.relation) == relation]
    if correction.op is Op.RETRACT and not correction.target_true:
        return same
    ended = {identity(target) for target in (correction.target_new, correction.target_true) if target}
    return [fact for fact in same if identity(fact.target) in ended]


def first_version(correction: Correction) -> Fact:
    """The fact that a correction makes if its key is new."""
    return Fact(
        key=correction.key,
        version=1,
        correction_id=correction.id,
        wordings=correction.wordings,
        target=correction.target_new,
        subject_at=correction.subject_at,
        aliases=correction.aliases,
    )


def _duplicate(received: Received, correction_id: str) -> Settlement:
    reason = f"a correction with id {correction_id} was settled already"
    return Settlement(seq=received.seq, fate=Fate.DUPLICATE, reason=reason)


def _superseded(correction: Correction, keys: Sequence[FactKey], known: Known) -> str:
    """Why the correction is older than the recorded state of these keys; empty if it is not."""
    reported_s = correction.provenance.time_s
    for key in keys:
        last = known.last_change(key)
        if reported_s is None or last is None or last.reported_at_s is None:
            continue
        if reported_s < last.reported_at_s:
            return (
                f"provenance.time_s {reported_s:.0f} is older than {last.reported_at_s:.0f} of correction "
                f"{last.correction_id}: to make this one win, send it with a newer provenance.time_s"
            )
    return ""


def _unchanged(correction: Correction, current: Fact | None, *, already_answered: bool) -> str:
    """Why the correction changes nothing; empty if it changes something."""
    if current is None:
        if correction.op is Op.RETRACT:
            return "no fact is live for this key"
        return "the model already gives this answer" if already_answered else ""
    if correction.op is Op.UPSERT and _adds_nothing(current, correction):
        return "the live fact already gives this answer"
    return ""


def _adds_nothing(current: Fact, correction: Correction) -> bool:
    return (
        current.target == correction.target_new
        and set(correction.wordings) <= set(current.wordings)
        and set(correction.aliases) <= set(current.aliases)
        and current.valid_until_s == correction.valid_until_s
        and correction.valid_from_s in (None, current.valid_from_s)
    )


def _new_fact(
    correction: Correction, decision: Decision, key: FactKey, current: Fact | None, *, version: int
) -> Fact:
    worded = correction.located_wordings
    if current is not None and current.target == correction.target_new:
        # The same answer keeps the old wordings and adds the new ones; another answer has only its own.
        worded = (*current.located_wordings, *worded)
    wordings, subject_at = distinct_wordings(worded)
    # Another answer changes no name of the subject.
    aliases = dict.fromkeys((*correction.aliases, *(current.aliases if current is not None else ())))
    return Fact(
        key=key,
        version=version,
        correction_id=correction.id,
        wordings=wordings,
        target=correction.target_new,
        valid_until_s=correction.valid_until_s,
        # One question has one answer in the weights, so a fact of a many-valued relation stays in memory.
        method=decision.method if decision.route is Route.WEIGHTS and not key.target else "",
        subject_at=subject_at,
        reported_at_s=correction.provenance.time_s,
        aliases=tuple(aliases)[:MAX_ALIASES],
        valid_from_s=correction.valid_from_s,
    )
