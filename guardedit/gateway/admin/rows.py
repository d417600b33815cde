"""Facts, epochs and messages as plain JSON. Times are seconds since 1970, UTC; undefined numbers are null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from guardedit.core.correction import Correction, decode_correction
from guardedit.core.epoch import Epoch
from guardedit.core.errors import CorrectionError
from guardedit.core.fact import Fact
from guardedit.ledger.approvals import Approvals
from guardedit.ledger.inbox import DeadLetter, Entry
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.operator.epochs import EpochRecord
from guardedit.runtime.operator.facts import FactRecord
from guardedit.runtime.operator.stages import Stage
from guardedit.runtime.operator.status import LedgerStatus

Row = dict[str, Any]


def fact_row(fact: Fact) -> Row:
    """A fact."""
    return {
        "id": fact.id,
        "placement": fact.placement.value,
        "subject": fact.key.subject,
        "relation": fact.key.relation,
        "tenant": fact.key.tenant,
        "aliases": list(fact.aliases),
        "prompt": fact.prompt,
        "wordings": list(fact.wordings),
        "target": fact.target,
        "version": fact.version,
        "correction": fact.correction_id,
        "method": fact.method or None,
        "valid_from_s": fact.valid_from_s,
        "valid_until_s": fact.valid_until_s,
    }


def fact_detail(record: FactRecord) -> Row:
    """A fact with what the ledger says about it."""
    kept, decision, receipt = record.kept, record.decision, record.receipt
    return {
        **fact_row(record.fact),
        "live": record.live,
        "expired": record.expired,
        "kept_in_memory": f"{kept.state}: {kept.reason}" if kept else None,
        "rule": decision["rule"] if decision else None,
        "signed_by": decision.get("signed_by") or None if decision else None,
        "reason": receipt.reason if receipt else None,
        "epoch": receipt.epoch if receipt else None,
    }


def epoch_row(epoch: Epoch, ratio: float | None = None) -> Row:
    """An epoch; `ratio` is the perplexity of its weights over that of the base model, where it was read."""
    return {
        "epoch": epoch.number,
        "kind": epoch.kind,
        "at_s": epoch.created_at_s,
        "edits": len(epoch.edits),
        "weights_sha256": epoch.weights_sha256,
        "state_sha256": epoch.state_sha256,
        "reason": epoch.reason,
        "perplexity_ratio": finite(ratio),
    }


def epoch_detail(record: EpochRecord, ratio: float | None = None) -> Row:
    """An epoch with what it changed and the verdict of its trial."""
    return {
        **epoch_row(record.epoch, ratio),
        "facts": record.facts,
        "changed": [fact_row(fact) for fact in record.changed],
        "removed": [str(key) for key in record.removed],
        "verdict": plain(record.verdict),
    }


def approvals_row(found: Approvals) -> Row:
    """How many approvals a held correction needs, and who has given one."""
    return {
        "approvals_needed": found.needed,
        "approvers": list(found.approvers),
        "approved_by": list(found.by),
        "approvals_expire_at_s": found.expires_at_s,
        "approvals_missing": found.missing,
        "content_sha256": found.content_sha256,
    }


def content_row(correction: Correction) -> Row:
    """What an approval of a correction is for, besides subject, prompt and target."""
    return {
        "op": correction.op.value,
        "tenant": correction.tenant,
        "relation": correction.relation,
        "aliases": list(correction.aliases),
        "paraphrases": list(correction.paraphrases),
        "valid_from_s": correction.valid_from_s,
        "valid_until_s": correction.valid_until_s,
        "tags": list(correction.tags),
    }


def held_row(entry: Entry, approvals: Approvals) -> Row:
    """A held correction. If this version cannot read it, `target` says why."""
    row: Row = {
        "correction": entry.correction_id,
        "reason": entry.reason,
        "received_at_s": entry.received_at_s,
        "from": entry.source,
        **approvals_row(approvals),
    }
    try:
        correction = decode_correction(entry.raw, recorded=True)
    except CorrectionError as error:
        return {**row, "subject": None, "prompt": None, "target": f"cannot be read: {error}", "source": None}
    return {
        **row,
        "subject": correction.subject,
        "prompt": correction.prompt,
        "target": correction.target_new,
        "source": correction.provenance.source,
        "confidence": correction.provenance.confidence,
        **content_row(correction),
    }


def dead_letter_row(letter: DeadLetter) -> Row:
    """A dead letter with its bytes as text."""
    return {
        "number": letter.seq,
        "at_s": letter.at_s,
        "source": letter.source,
        "position": letter.position,
        "reason": letter.reason,
        "message": letter.message,
        "raw": letter.raw.decode("utf-8", "backslashreplace"),
    }


def status_row(found: LedgerStatus, stage: Stage | None) -> Row:
    """The state of the system, and what it does now."""
    epoch, counts = found.epoch, found.counts
    return {
        "epoch": epoch.number if epoch else None,
        "since_s": epoch.created_at_s if epoch else None,
        "last_good": found.last_good,
        "facts": {place.value: number for place, number in found.facts.items()},
        "kept_in_memory": found.kept_in_memory,
        "kept_because": dict(found.kept_because),
        "waiting_for_weights": found.waiting_for_weights,
        "weight_edits": counts.edits_live,
        "perplexity_ratio": finite(found.perplexity_ratio),
        "waiting": counts.inbox_waiting,
        "held": found.held,
        "dead_letters": counts.dead_letters,
        "trials": dict(counts.trials),
        "rollbacks": dict(counts.rollbacks),
        "now": {"what": str(stage), "since_s": stage.since_s} if stage else None,
    }


def ratios(ledger: LedgerReader) -> dict[int, float]:
    """Epoch -> the last reading of its perplexity ratio."""
    found = {}
    for _, _, body in ledger.events(kinds=("reading",)):
        try:
            found[int(body["epoch"])] = math.exp(body["log_ratio_to_base"])
        except OverflowError:
            found[int(body["epoch"])] = math.inf
    return found


def trials(ledger: LedgerReader) -> list[Row]:
    """The trials that made no epoch, oldest first."""
    return [trial_row(number, at_s, body) for number, at_s, _, body in ledger.timed_events(kinds=("trial",))]


def trial_row(number: int, at_s: float, body: Mapping[str, Any]) -> Row:
    """A trial that made no epoch; `number` is that of its event."""
    verdict = body["verdict"]
    return {
        "trial": number,
        "at_s": at_s,
        "outcome": verdict["outcome"],
        "reason": verdict["reason"],
        "edits": len(body["edits"]),
        "perplexity_ratio": finite(verdict.get("measured", {}).get("perplexity_ratio_to_base")),
    }


def trial_detail(ledger: LedgerReader, number: int) -> Row | None:
    """A trial with its gates, and the facts that it was about; None where there is none of this number."""
    found = ledger.timed_events(since=number - 1, kinds=("trial",))
    if not found or found[0][0] != number:
        return None
    _, at_s, _, body = found[0]
    ids = body.get("facts", ())  # older ledgers do not have them
    facts = [fact for name in ids for fact in ledger.find_fact(name) if fact.id == name]
    return {
        **trial_row(number, at_s, body),
        "facts": [fact_row(fact) for fact in facts],
        "verdict": plain(body["verdict"]),
    }


def audit_rows(ledger: LedgerReader) -> list[Row]:
    """Who changed what, oldest first."""
    return [{"at_s": at_s, **body} for _, at_s, _, body in ledger.timed_events(kinds=("audit",))]


def finite(number: float | None) -> float | None:
    """The number, or None where JSON has none for it."""
    return number if number is not None and math.isfinite(number) else None


def plain(value: Any) -> Any:
    """A value with every number that JSON does not know replaced by None."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def story_rows(happenings: list[Any]) -> list[Row]:
    """The steps of a correction's story."""
    return [asdict(one) for one in happenings]
