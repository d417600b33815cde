"""Epochs and refs: how they are read, and how the next epoch follows from the serving one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from guardedit.core.epoch import Change, Epoch, state_sha256_of
from guardedit.core.errors import UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Outcome, Verdict
from guardedit.ledger.state import State, changed, edits_at, edits_of_all, moved
from guardedit.ledger.storage.database import Database
from guardedit.naming import identity

SERVING = "serving"
LAST_GOOD = "last-good"

_COLUMNS = "number, kind, base_sha256, policy_sha256, weights_sha256, state_sha256, created_at_s, reason"
_REF_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


class Asked(NamedTuple):
    """A change, the correction that asked for it ("" for none), and when its source said so."""

    change: Change
    correction_id: str = ""
    reported_at_s: float | None = None

    @staticmethod
    def by_fact(change: Change) -> Asked:
        """A change that no message asked for just now: the fact itself says where it came from."""
        fact = change.fact
        return Asked(change) if fact is None else Asked(change, fact.correction_id, fact.reported_at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next epoch, what is live in it, and the body of the event that records it."""

    epoch: Epoch
    state: State
    body: Mapping[str, Any]


def read_epoch(database: Database, number: int, edits: Mapping[str, str] | None = None) -> Epoch:
    """An epoch by number; `edits` spares a look when the caller has them."""
    row = database.row(f"SELECT {_COLUMNS} FROM epochs WHERE number = ?", (number,))  # noqa: S608 - own text
    if row is None:
        last = database.row("SELECT max(number) FROM epochs")
        raise UsageError(f"there is no epoch {number}: the last one is {last[0] if last else None}")
    return _epoch(row, edits_at(database, number) if edits is None else edits)


def read_epochs(database: Database) -> list[Epoch]:
    """All epochs, oldest first."""
    with database.snapshot():
        rows = database.rows(f"SELECT {_COLUMNS} FROM epochs ORDER BY number")  # noqa: S608 - own text
        every = edits_of_all(database, len(rows) - 1)
        return [_epoch(row, edits) for row, edits in zip(rows, every, strict=True)]


def refs(database: Database) -> dict[str, int]:
    """All refs by name."""
    return {
        str(name): int(epoch) for name, epoch in database.rows("SELECT name, epoch FROM refs ORDER BY name")
    }


def read_ref(database: Database, name: str) -> int:
    """The epoch number a ref points to."""
    row = database.row("SELECT epoch FROM refs WHERE name = ?", (name,))
    if row is not None:
        return int(row[0])
    if not (known := refs(database)):
        raise UsageError(f"{database.path} has no epoch yet: start the coordinator once")
    raise UsageError(f"there is no ref {name!r}: known are {', '.join(known)}")


def check_ref_name(name: str) -> None:
    """UsageError for a name that a move may not use."""
    if name == SERVING:
        raise UsageError("serving moves only with a new epoch: commit the changes that lead back instead")
    if not _REF_NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a ref: use a-z, 0-9, '.', '_', '-', a letter first")


def check_text(change: Change) -> None:
    """ValueError for a change that would not be read back as it is: half of a surrogate pair is no text."""
    key, fact = change
    "".join(key).encode()
    if fact is not None:
        json.dumps(fact.to_json(), ensure_ascii=False).encode()


def check_verdict(verdict: Verdict | None) -> None:
    """UsageError for a verdict that forbids to serve what it judged."""
    if verdict is not None and verdict.outcome is not Outcome.ACCEPT:
        raise UsageError(
            f"the verdict is {verdict.outcome.value} ({verdict.reason}): note it, it cannot be served"
        )


def described(edit: WeightEdit) -> dict[str, Any]:
    """A weight edit without its payload, for the record."""
    return {
        "digest": edit.digest,
        "facts": list(edit.facts),
        "subject": edit.subject,
        "method": edit.method,
        "diagnostics": dict(edit.diagnostics),
    }


def genesis(*, base_sha256: str, policy_sha256: str, weights_sha256: str, at_s: float) -> Step:
    """Epoch 0: the base model and no facts."""
    epoch = Epoch(
        number=0,
        kind="base",
        base_sha256=base_sha256,
        policy_sha256=policy_sha256,
        weights_sha256=weights_sha256,
        edits=(),
        state_sha256=state_sha256_of(base_sha256, weights_sha256, 0),
        created_at_s=at_s,
    )
    body = _body(epoch, changes=(), added=(), removed=(), refs={SERVING: 0, LAST_GOOD: 0}, verdict=None)
    return Step(epoch=epoch, state=State(number=0, facts={}, edits={}, total=0), body=body)


def successor(
    serving: Epoch,
    state: State,
    *,
    last_good: int,
    kind: str,
    reason: str,
    changes: Sequence[Asked],
    edits: Sequence[Mapping[str, Any]] | None,  # described; None: as they were
    weights_sha256: str,
    policy_sha256: str,
    at_s: float,
    verdict: Verdict | None = None,
    good: int | None = None,
) -> Step:
    """The epoch after the serving one.

    `last-good` goes to `good`. Without it, it follows when it stood on the serving epoch and the weights
    stay as they are: what was good about an epoch is its weights, and a memory-only epoch has the same.
    """
    number = serving.number + 1
    if good is not None and not 0 <= good <= number:
        raise UsageError(f"epoch {good} cannot be last-good: the new epoch is {number}, name it or an older")
    after = changed(state, [asked.change for asked in changes])
    added, removed = ([], []) if edits is None else _difference(state.edits, edits)
    moves = {edit["digest"]: json.dumps(edit["facts"]) for edit in added} | dict.fromkeys(removed)
    after = replace(after, number=number, edits=moved(state.edits, moves))
    epoch = replace(
        serving,
        number=number,
        kind=kind,
        reason=reason,
        policy_sha256=policy_sha256,
        weights_sha256=weights_sha256,
        edits=tuple(after.edits),
        state_sha256=state_sha256_of(serving.base_sha256, weights_sha256, after.total),
        created_at_s=at_s,
    )
    if good is None and last_good == serving.number and epoch.edits == serving.edits:
        good = number
    refs = {SERVING: number} if good is None else {SERVING: number, LAST_GOOD: good}
    body = _body(epoch, changes=changes, added=added, removed=removed, refs=refs, verdict=verdict)
    return Step(epoch=epoch, state=after, body=body)


def _difference(
    live: Mapping[str, str], wanted: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    by_digest = {edit["digest"]: edit for edit in wanted}
    if len(by_digest) < len(wanted):
        raise UsageError("two weight edits have the same payload: merge their facts into one edit")
    added = [e for digest, e in sorted(by_digest.items()) if live.get(digest) != json.dumps(e["facts"])]
    return added, sorted(set(live) - set(by_digest))


def _body(
    epoch: Epoch,
    *,
    changes: Sequence[Asked],
    added: Sequence[Mapping[str, Any]],
    removed: Sequence[str],
    refs: Mapping[str, int],
    verdict: Verdict | None,
) -> dict[str, Any]:
    names = (
        *("number", "kind", "reason", "base_sha256"),
        *("policy_sha256", "weights_sha256", "state_sha256"),
    )
    return {
        **{name: getattr(epoch, name) for name in names},
        "changes": [_asked(asked) for asked in changes],
        "edits_added": list(added),
        "edits_removed": list(removed),
        "refs": dict(refs),
        "verdict": verdict.to_json() if verdict else None,
    }


def _asked(asked: Asked) -> dict[str, Any]:
    (key, fact), correction_id, reported_at_s = asked
    try:
        check_text(asked.change)
    except ValueError as error:
        raise UsageError(f"a fact of {str(key)!a} cannot be written down: {error}") from error
    return {
        "key": list(key),
        # Kept with the event: another version may fold names in another way.
        "names": [identity(key.subject), identity(key.relation)],
        "correction_id": correction_id,
        "reported_at_s": reported_at_s,
        "fact_id": fact.id if fact else None,
        "fact": fact.to_json() if fact else None,
    }


def _epoch(row: tuple[Any, ...], edits: Mapping[str, str]) -> Epoch:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Epoch(**values, edits=tuple(edits))
