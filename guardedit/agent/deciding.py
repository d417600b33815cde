"""Steps 1 and 2: from raw bytes to a settlement. Reads the ledger, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from guardedit.core.correction import Correction, Op, content_sha256, decode_correction
from guardedit.core.decision import Decision, Route
from guardedit.core.epoch import Change
from guardedit.core.errors import CorrectionError, IdReuse
from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import Received, Settlement
from guardedit.core.receipt import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows that a decision may depend on, for one batch of corrections."""

    live: Mapping[FactKey, Fact]
    latest: Callable[[FactKey], int]  # highest version ever given to a key, 0 for none
    content: Callable[[str], str | None]  # correction id -> content digest of an earlier one


def read(received: Received, check: Callable[[Correction], None]) -> Correction | Settlement:
    """The correction, or the dead letter that its bytes deserve.

    `check` raises CorrectionError for what only the model's tokenizer can tell.
    """
    try:
        correction = decode_correction(received.raw)
        check(correction)
    except CorrectionError as error:
        return dead(received, error)
    return correction


def dead(received: Received, error: CorrectionError, correction: Correction | None = None) -> Settlement:
    """A dead letter; the inbox keeps the original bytes."""
    return Settlement(
        seq=received.seq, fate=Fate.DEAD, reason=f"{error.reason}: {error}", correction=correction
    )


def repeated(received: Received, correction: Correction, known: Known) -> Settlement | None:
    """A settlement for an id that was seen before: a harmless duplicate, or another content."""
    earlier = known.content(correction.id)
    if earlier is None:
        return None
    if earlier == content_sha256(correction):
        return Settlement(seq=received.seq, fate=Fate.DUPLICATE, reason=f"id {correction.id} is settled")
    error = IdReuse(f"id {correction.id!r} was used for another content: send the change under a new id")
    return dead(received, error)


def settle(
    received: Received, correction: Correction, decision: Decision, known: Known, *, already: bool
) -> Settlement:
    """What becomes of a correction, given the policy's decision.

    `already` says that the model answers every wording with the new target by itself.
    """
    settled = Settlement(
        seq=received.seq, fate=Fate.ACCEPTED, correction=correction, decision=decision, reason=decision.reason
    )
    if decision.route is Route.REJECT:
        return replace(settled, fate=Fate.REJECTED)
    if decision.route is Route.HOLD:
        return replace(settled, fate=Fate.HELD)
    current = known.live.get(correction.key)
    if why := _no_op(correction, current, already=already):
        return replace(settled, fate=Fate.UNCHANGED, reason=why)
    if correction.op is Op.RETRACT:
        return replace(settled, change=Change(correction.key, None))
    version = known.latest(correction.key) + 1
    return replace(
        settled, change=Change(correction.key, _fact(correction, decision, current, version=version))
    )


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


def _fact(correction: Correction, decision: Decision, current: Fact | None, *, version: int) -> Fact:
    wordings = correction.wordings
    if current is not None and current.target == correction.target_new:
        # New wordings of a live fact add to the old ones; a new answer starts afresh.
        wordings = _distinct([*current.wordings, *wordings])
    return Fact(
        key=correction.key,
        version=version,
        correction_id=correction.id,
        wordings=_distinct(wordings),
        target=correction.target_new,
        valid_until_s=correction.valid_until_s,
        method=decision.method if decision.route is Route.WEIGHTS else "",
    )


def _distinct(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
