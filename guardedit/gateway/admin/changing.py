"""The routes that change something. Each needs a token with its role, and is recorded in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from guardedit.core.correction import MAX_ALIAS_CHARACTERS, MAX_ALIASES
from guardedit.core.errors import UsageError
from guardedit.gateway.admin import rows
from guardedit.gateway.admin.office import (
    Admin,
    Approver,
    NotFound,
    Office,
    OperatorToken,
    Submitter,
    TheOffice,
    known_facts,
    require_epoch,
)
from guardedit.gateway.admin.problems import documented
from guardedit.gateway.admin.submitting import store
from guardedit.gateway.admin.tokens import AccessToken
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.opening import MOST_DIGITS, changing, exists, inbox
from guardedit.runtime.operator.approving import approve as record_approval
from guardedit.runtime.operator.approving import held_entry
from guardedit.runtime.operator.facts import release_facts
from guardedit.runtime.operator.reloading import reload_policy

router = APIRouter(responses=documented(400, 401, 403, 404, 409, 413, 422, 500, 503, 507))

#: The body of a submission, which is read by hand: byte for byte, because it may be signed.
_CORRECTION = {
    "type": "object",
    "required": ["subject", "prompt"],
    "properties": {
        "subject": {"type": "string", "minLength": 1},
        "prompt": {
            "type": "string",
            "pattern": "^[^{}]*\\{\\}[^{}]*$",
            "description": "A question with {} in place of the subject.",
        },
        "target_new": {"type": "string", "description": "The answer; not for a retraction."},
        "aliases": {
            "type": "array",
            "maxItems": MAX_ALIASES,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_ALIAS_CHARACTERS},
            "description": "Other names of the subject, which questions may use.",
        },
    },
    "description": "A correction, with further fields of the message format.",
}
_CLOUD_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "data": _CORRECTION,
    },
    "description": "A CloudEvent, version 1.0, in JSON.",
}
_ONE = {"anyOf": [_CORRECTION, _CLOUD_EVENT]}
_BODY = {"schema": {"anyOf": [*_ONE["anyOf"], {"type": "array", "minItems": 1, "items": _ONE}]}}
CORRECTIONS: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": _BODY,
        "application/cloudevents+json": _BODY,
        "application/cloudevents-batch+json": _BODY,
    },
}

Number = Annotated[int, Field(ge=0, lt=10**MOST_DIGITS)]


class Rollback(BaseModel):
    """The body of a rollback.

    Attributes:
        facts_too: also the facts of that epoch; otherwise no fact is lost.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    facts_too: bool = False


class Approved(BaseModel):
    """The body of an approval.

    Attributes:
        content_sha256: digest of the content that the person saw, as `/v1/held` lists it. If another content
            is held under this id, nothing is approved.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    content_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class SourceUndo(BaseModel):
    """The body of an undo by source.

    Attributes:
        key: only what this key signed; "" for everything of the source.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    key: Annotated[str, Field(max_length=64)] = ""


class Reason(BaseModel):
    """The body of a rejection."""

    model_config = ConfigDict(extra="forbid", strict=True)
    reason: Annotated[str, Field(min_length=1, max_length=500)] = "a person rejected it"


@router.post("/v1/corrections", status_code=202, openapi_extra={"requestBody": CORRECTIONS})
async def submit(office: TheOffice, request: Request, token: Submitter) -> rows.Row:
    """One correction, an array of them, or CloudEvents."""
    raw = await request.body()
    return await asyncio.to_thread(_submitted, office, raw, token)


@router.post("/v1/facts/{name:path}/undo")
def undo(office: TheOffice, name: str, token: OperatorToken) -> rows.Row:
    """Take a fact back, whatever was accepted after it."""
    with office.reading() as ledger:
        known_facts(ledger, name)
    made = office.system.undo(name)
    office.audit(token, "undo", name)
    return rows.epoch_row(made)


@router.post("/v1/sources/{name:path}/undo")
def undo_source(
    office: TheOffice, name: str, token: OperatorToken, body: SourceUndo | None = None
) -> rows.Row:
    """Take back everything that a source wrote, or that one of its keys signed."""
    key = body.key if body else ""
    with office.reading() as ledger:
        if not ledger.corrections_from(name, key):
            raise NotFound(
                f"no accepted correction came from the source {name!r:.200}" + f", key {key!r}" * bool(key)
            )
    made = office.system.undo_source(name, key)
    office.audit(token, "undo source", f"{name}, key {key}" if key else name)
    return rows.epoch_row(made)


@router.post("/v1/facts/{name:path}/redo")
def redo(office: TheOffice, name: str, token: OperatorToken) -> rows.Row:
    """Bring back a fact that was taken back."""
    with office.reading() as ledger:
        found = known_facts(ledger, name)
    if len(found) > 1:
        ids = ", ".join(fact.id for fact in found)
        raise UsageError(f"{name!r:.200} names several facts, {ids}: redo one of them by its id")
    made = office.system.redo(found[0].id)
    office.audit(token, "redo", found[0].id)
    return rows.epoch_row(made)


@router.post("/v1/facts/{name:path}/release")
def release_fact(office: TheOffice, name: str, token: OperatorToken) -> rows.Row:
    """Let a fact that was kept out of the weights be tried again."""
    with changing(office.settings) as ledger:
        known_facts(ledger, name)
        released = [fact.id for fact in release_facts(ledger, [name], now_s=time.time())]
    office.audit(token, "release", name)
    return {"released": released}


@router.post("/v1/epochs/{number}/rollback")
def roll_back(
    office: TheOffice, number: Number, token: OperatorToken, body: Rollback | None = None
) -> rows.Row:
    """Serve the weights of an earlier epoch again."""
    with office.reading() as ledger:
        require_epoch(ledger, number)
    made = office.system.roll_back(number, facts_too=bool(body and body.facts_too))
    office.audit(token, "rollback", str(number))
    return rows.epoch_row(made)


@router.post("/v1/held/{correction:path}/approve")
def approve(office: TheOffice, correction: str, token: Approver, body: Approved | None = None) -> rows.Row:
    """Approve a held correction. With the last approval that its rule needs, it is decided again."""
    _require_held(office, correction)
    with changing(office.settings) as ledger:
        seen = body.content_sha256 if body else ""
        found = record_approval(ledger, correction, by=token.name, content_sha256=seen)
        ledger.audit(token.name, "approve", correction)
    return {"correction": correction, "approved": not found.missing, **rows.approvals_row(found)}


@router.post("/v1/held/{correction:path}/reject")
def reject(office: TheOffice, correction: str, token: Approver, body: Reason | None = None) -> rows.Row:
    """Close a held correction for good."""
    _require_held(office, correction)
    with changing(office.settings) as ledger:
        ledger.reject(correction, reason=f"{token.name}: {(body or Reason()).reason}")
        ledger.audit(token.name, "reject", correction)
    return {"correction": correction, "rejected": True}


@router.post("/v1/dead-letters/{number}/retry")
def retry(office: TheOffice, number: Number, token: OperatorToken) -> rows.Row:
    """Read a dead letter again."""
    with _dead_letter(office, number) as ledger:
        ledger.retry(number)
        ledger.audit(token.name, "retry", str(number))
    return {"number": number, "retry": True}


@router.post("/v1/dead-letters/{number}/drop")
def drop(office: TheOffice, number: Number, token: OperatorToken) -> rows.Row:
    """Stop listing a dead letter."""
    with _dead_letter(office, number) as ledger:
        ledger.drop(number)
        ledger.audit(token.name, "drop", str(number))
    return {"number": number, "drop": True}


@router.post("/v1/policy/reload")
def reload(office: TheOffice, token: Admin) -> rows.Row:
    """Read the policy file again and decide by it from now on; a bad file changes nothing."""
    done = reload_policy(office.settings, office.system, who=token.name)
    return {
        "policy_sha256": done.policy.sha256,
        "before_sha256": done.before_sha256,
        "changed": done.changed,
        "rules": len(done.policy.rules),
    }


@contextmanager
def _dead_letter(office: Office, number: int) -> Iterator[SqliteLedger]:
    """The ledger for changing a dead letter; NotFound if there is none of this number."""
    if not exists(office.settings):
        raise NotFound("there is no ledger yet")
    with changing(office.settings) as ledger:
        if number not in {letter.seq for letter in ledger.dead_letters()}:
            raise NotFound(f"there is no dead letter {number}")
        yield ledger


def _submitted(office: Office, raw: bytes, token: AccessToken) -> rows.Row:
    with inbox(office.settings) as ledger:
        ids = store(ledger, raw, who=token, tokens=office.tokens.all())
        ledger.audit(token.name, "submit", ", ".join(ids[:20]))
    return {"corrections": ids}


def _require_held(office: Office, correction: str) -> None:
    with office.reading() as ledger:
        if held_entry(ledger, correction) is None:
            raise NotFound(f"no correction {correction!r:.200} is held")
