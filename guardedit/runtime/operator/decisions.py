"""Looks up the policy's decision about a correction in the ledger, or makes the decision now."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from guardedit.core.correction import Correction, decode_correction
from guardedit.core.decision import Route
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.messages import Fate
from guardedit.core.wire import split_messages
from guardedit.runtime.opening import existing, exists
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.policy.decide import DecisionContext
    from guardedit.policy.schema import Policy

#: The period over which the quota counts accepted corrections, in seconds.
DAY_S = 86_400


def recorded_decision(settings: Settings, correction_id: str) -> dict[str, Any]:
    """The decision about a recorded correction, under the policy of that time.

    Returns:
        `correction`, `fate`, `epoch`, `route` and `reason`; with the policy's decision also `rule`,
        `method`, `policy_sha256`, `signed_by` and `trace`. A correction that waits for a person has the
        route `hold`.

    Raises:
        UsageError: there is no ledger, or it holds no decided correction with this id.
    """
    if not exists(settings):
        raise UsageError(
            f"there is no ledger in {settings.home} to look up {correction_id!r}: name its folder with "
            "--home, or explain a file with --file FILE"
        )
    with existing(settings) as ledger:
        receipt, decision = ledger.receipt(correction_id), ledger.decision(correction_id)
    if receipt is None:
        raise UsageError(
            f"no decided correction in {settings.home} has the id {correction_id!r}: "
            "check the id, or explain a file with --file FILE"
        )
    fields = {"correction": correction_id, "fate": receipt.fate.value, "epoch": receipt.epoch}
    if decision is None:
        return {**fields, "route": None, "reason": receipt.reason}
    # A held correction that was released and decided again may have taken another route than `hold`.
    route = Route.HOLD.value if receipt.fate is Fate.HELD else decision["route"]
    return {**fields, **_decision_fields(decision), "route": route}


def decide_now(settings: Settings, raw: bytes) -> list[dict[str, Any]]:
    """What the policy in force would decide about the corrections in `raw`. Nothing is recorded.

    Args:
        settings: names the policy; the ledger in its home folder, if there is one, gives the quota.
        raw: one JSON object, an array of them, or one object a line.

    Returns:
        For each correction `correction`, `subject`, `route`, `rule`, `reason`, `method`, `policy_sha256`,
        `signed_by` and `trace`.

    Raises:
        CorrectionError: for a message that cannot be decoded, or has no valid signature and its source
            signs; names its number.
        UsageError: there is no correction in `raw`.
    """
    from guardedit.policy.decide import decide
    from guardedit.policy.load import load_policy
    from guardedit.policy.sources import signer
    from guardedit.signing.keys import require_signing

    policy = load_policy(settings.policy)
    if policy.sources:
        require_signing()
    decisions = []
    for number, message in enumerate(messages_in(raw), start=1):
        try:
            correction = decode_correction(message)
            signed_by = signer(policy.sources, message, correction, received_at_s=time.time())
        except CorrectionError as error:
            raise type(error)(f"message {number}: {error.reason}: {error}") from error
        context = replace(_context(settings, policy, correction), signed_by=signed_by)
        decision = decide(policy, correction, context)
        decisions.append(
            {
                "correction": correction.id,
                "subject": correction.subject,
                **_decision_fields(asdict(decision)),
            }
        )
    if not decisions:
        raise UsageError("there is no correction to explain: give one JSON object")
    return decisions


def messages_in(raw: bytes) -> list[bytes]:
    r"""The messages of one JSON value on any number of lines, or of one value a line.

    >>> messages_in(b'{"a": 1}\n\n{"a": 2}')
    [b'{"a": 1}', b'{"a": 2}']
    """
    try:
        # `parse_int=str`: Python refuses to convert the longest numbers; decoding reports them properly.
        whole = isinstance(json.loads(raw, parse_int=str), dict | list)
    except (ValueError, RecursionError):
        whole = False
    parts = [raw] if whole else [line for line in raw.split(b"\n") if line.strip()]
    return [message for part in parts for message in split_messages(part)]


def _decision_fields(decision: Mapping[str, Any]) -> dict[str, Any]:
    names = ("route", "rule", "reason", "method", "policy_sha256")
    # Ledgers of earlier versions recorded no key.
    signed_by = decision.get("signed_by", "")
    return {
        **{name: decision[name] for name in names},
        "signed_by": signed_by,
        "trace": list(decision["trace"]),
    }


def _context(settings: Settings, policy: Policy, correction: Correction) -> DecisionContext:
    from guardedit.policy.decide import DecisionContext
    from guardedit.policy.reach import charged

    now_s, edits, known = time.time(), 0, False
    if exists(settings):
        with existing(settings) as ledger:
            edits = ledger.corrections_reaching(charged(correction), since_s=now_s - DAY_S)
    if any(rule.when and "known_subject" in rule.when.text for rule in policy.rules):
        # The only rule variable that needs the probe set, and with it the slow imports.
        from guardedit import assembly

        probes = assembly.find_probes(settings, policy)
        known = probes is not None and bool(assembly.known_questions(probes, correction.subject))
    return DecisionContext(now_s=now_s, subject_edits_24h=edits, known_subject=known)
