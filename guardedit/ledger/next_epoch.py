"""Computes the next epoch from the serving one: its state, its record, and the event to write. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from guardedit.core.epoch import Change, Epoch, state_sha256_of
from guardedit.core.errors import UsageError
from guardedit.core.verdict import Outcome, Verdict
from guardedit.ledger.epochs import LAST_GOOD, SERVING
from guardedit.ledger.events.kinds import EpochEvent
from guardedit.ledger.events.records import ChangeRecord, EditRecord
from guardedit.ledger.state import EditChanges, Edits, State, with_changes, with_edit_changes
from guardedit.naming import key_name


class RequestedChange(NamedTuple):
    """A change, the correction that requested it ("" for none), and the source's own time for it."""

    change: Change
    correction_id: str = ""
    reported_at_s: float | None = None

    @staticmethod
    def of_fact(change: Change) -> RequestedChange:
        """A change that no new message requested; correction and time are those of the fact itself."""
        fact = change.fact
        if fact is None:
            return RequestedChange(change)
        return RequestedChange(change, fact.correction_id, fact.reported_at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextEpoch:
    """An epoch to be written: its record, what is live in it, and the event that records it."""

    epoch: Epoch
    state: State
    event: EpochEvent


def genesis(*, base_sha256: str, policy_sha256: str, weights_sha256: str, at_s: float) -> NextEpoch:
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
    event = _event(epoch, changes=(), added=[], removed=[], refs={SERVING: 0, LAST_GOOD: 0}, verdict=None)
    return NextEpoch(epoch=epoch, state=State(number=0, facts={}, edits={}, total=0), event=event)


def successor(
    serving: Epoch,
    state: State,
    *,
    previous_good: int,
    kind: str,
    reason: str,
    changes: Sequence[RequestedChange],
    edits: Sequence[EditRecord] | None,
    weights_sha256: str,
    policy_sha256: str,
    at_s: float,
    verdict: Verdict | None = None,
    last_good: int | None = None,
) -> NextEpoch:
    """The epoch after the serving one.

    Args:
        serving: the serving epoch.
        state: what is live in it.
        previous_good: where the ref `last-good` points now.
        kind: the kind of the new epoch.
        reason: for people; that of a rollback begins with its trigger.
        changes: changed facts, in order.
        edits: all weight edits of the new epoch. None: they stay the same.
        weights_sha256: digest of the folded matrices.
        policy_sha256: digest of the policy in force.
        at_s: the present time, seconds since 1970, UTC.
        verdict: the trial's verdict, recorded with the epoch.
        last_good: where `last-good` is to point. None: it follows if it pointed to the serving epoch and
            the edits stay the same. The weights make an epoch good, and an epoch that only changes the
            memory has the same weights.

    Raises:
        UsageError: `last_good` does not exist, two edits have one payload, or a fact cannot be written.
    """
    number = serving.number + 1
    if last_good is not None and not 0 <= last_good <= number:
        raise UsageError(
            f"epoch {last_good} cannot be last-good: use the new epoch, {number}, or an earlier one"
        )
    added, removed = ([], []) if edits is None else _difference(state.edits, edits)
    edit_changes: EditChanges = {edit.digest: edit.facts_json for edit in added} | dict.fromkeys(removed)
    after = replace(
        with_changes(state, [requested.change for requested in changes]),
        number=number,
        edits=with_edit_changes(state.edits, edit_changes),
    )
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
    if last_good is None and previous_good == serving.number and epoch.edits == serving.edits:
        last_good = number
    refs = {SERVING: number} if last_good is None else {SERVING: number, LAST_GOOD: last_good}
    event = _event(epoch, changes=changes, added=added, removed=removed, refs=refs, verdict=verdict)
    return NextEpoch(epoch=epoch, state=after, event=event)


def check_verdict(verdict: Verdict | None) -> None:
    """Raise UsageError for a verdict other than `accept`."""
    if verdict is not None and verdict.outcome is not Outcome.ACCEPT:
        raise UsageError(
            f"the verdict is {verdict.outcome.value} ({verdict.reason}): note it, it cannot be served"
        )


def check_text(change: Change) -> None:
    """Raise ValueError for a change with lone surrogates, which could not be read back unchanged."""
    key, fact = change
    "".join(key).encode()
    if fact is not None:
        json.dumps(fact.to_json(), ensure_ascii=False).encode()


def _difference(live: Edits, wanted: Sequence[EditRecord]) -> tuple[list[EditRecord], list[str]]:
    """Edits to add, sorted by digest, and digests of edits to remove, sorted."""
    by_digest = {edit.digest: edit for edit in wanted}
    if len(by_digest) < len(wanted):
        raise UsageError("two weight edits have the same payload: merge their facts into one edit")
    added = [edit for digest, edit in sorted(by_digest.items()) if live.get(digest) != edit.facts_json]
    return added, sorted(set(live) - set(by_digest))


def _event(
    epoch: Epoch,
    *,
    changes: Sequence[RequestedChange],
    added: list[EditRecord],
    removed: list[str],
    refs: Mapping[str, int],
    verdict: Verdict | None,
) -> EpochEvent:
    return EpochEvent(
        number=epoch.number,
        kind=epoch.kind,
        reason=epoch.reason,
        base_sha256=epoch.base_sha256,
        policy_sha256=epoch.policy_sha256,
        weights_sha256=epoch.weights_sha256,
        state_sha256=epoch.state_sha256,
        changes=[_change_record(requested) for requested in changes],
        edits_added=added,
        edits_removed=removed,
        refs=refs,
        verdict=verdict.to_json() if verdict else None,
    )


def _change_record(requested: RequestedChange) -> ChangeRecord:
    (key, fact), correction_id, reported_at_s = requested
    try:
        check_text(requested.change)
    except ValueError as error:
        raise UsageError(f"a fact of {str(key)!a} cannot be written: {error}") from error
    name = key_name(key)
    return ChangeRecord(
        key=key,
        names=(name.subject, name.relation, *([name.target] if key.target else [])),
        correction_id=correction_id,
        reported_at_s=reported_at_s,
        fact_id=fact.id if fact else None,
        fact=fact.to_json() if fact else None,
    )
