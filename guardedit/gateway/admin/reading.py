"""The routes that change nothing: health, what is live, what waits, and why."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from guardedit.core.errors import GuardeditError, UsageError
from guardedit.core.fact import Fact
from guardedit.core.messages import Fate
from guardedit.gateway.admin import rows
from guardedit.gateway.admin.office import (
    NotFound,
    Office,
    TheOffice,
    Viewer,
    known_facts,
    require_epoch,
)
from guardedit.gateway.admin.problems import documented
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import MOST_DIGITS, begun
from guardedit.runtime.operator.as_of import facts_as_of
from guardedit.runtime.operator.epochs import epoch_record
from guardedit.runtime.operator.facts import fact_record, live_facts
from guardedit.runtime.operator.story import story

health = APIRouter()
router = APIRouter(responses=documented(400, 401, 403, 404, 409, 422, 500, 503))

#: How often the stream of events looks for a change, in seconds.
LOOK_S = 0.5

Limit = Annotated[int, Query(ge=1, le=1000)]
Number = Annotated[int, Field(ge=0, lt=10**MOST_DIGITS)]


_FAILING: dict[int | str, dict[str, Any]] = {503: {"description": "It is not; the body says why."}}
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}
}
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


class QuestionBody(BaseModel):
    """A question for the serving epoch."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = "default"


# Health.


@health.get("/healthz", responses=_FAILING)
def healthz(office: TheOffice) -> JSONResponse:
    """Whether the ledger can be read and the coordinator answers."""
    try:
        body = {"status": "ok", "epoch": office.system.epoch().number}
    except Exception as error:  # noqa: BLE001 - whatever it is, the system is not healthy
        return JSONResponse({"status": "failing", "problems": [str(error)]}, status_code=503)
    return JSONResponse(body)


@health.get("/readyz", responses=_FAILING)
def readyz(office: TheOffice) -> JSONResponse:
    """Whether the replica serves an epoch."""
    served = office.system.served()
    return JSONResponse({"epoch": served}, status_code=200 if served is not None else 503)


# Reading.


@router.get("/metrics", response_class=Response, responses=_METRICS)
def metrics(office: TheOffice, _: Viewer, request: Request) -> Response:
    """The metrics in Prometheus format, the same as at GUARDEDIT_METRICS."""
    body, kind = office.system.metrics(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": kind})


@router.get("/v1/status")
def status(office: TheOffice, _: Viewer) -> rows.Row:
    """The state of the system, and what it does now."""
    return office.state()


@router.get("/v1/whoami")
def whoami(token: Viewer) -> rows.Row:
    """The name and the role of the token."""
    return {"name": token.name, "role": token.role.value}


def _written_as_a_time(value: object) -> object:
    """Refuse what pydantic takes for a time as well, such as a number of seconds."""
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("use RFC 3339 with a zone, such as 2005-06-30T00:00:00Z")
    return value


class FactQuery(BaseModel):
    """Which facts to list; `search` is looked for in ids, prompts and targets.

    `as_of` lists those that held at this time, in RFC 3339, instead of the live ones.
    """

    model_config = ConfigDict(extra="forbid")
    tenant: Annotated[str | None, Field(max_length=128)] = None
    placement: Annotated[str | None, Field(pattern="^(memory|weights)$")] = None
    search: Annotated[str, Field(max_length=200)] = ""
    as_of: Annotated[AwareDatetime | None, BeforeValidator(_written_as_a_time)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0

    def wants(self, fact: Fact) -> bool:
        """Whether a fact is listed."""
        return (
            self.tenant in (None, fact.key.tenant)
            and self.placement in (None, fact.placement.value)
            and self.search.casefold() in f"{fact.id} {fact.prompt} {fact.target}".casefold()
        )


@router.get("/v1/facts")
def facts(office: TheOffice, _: Viewer, query: Annotated[FactQuery, Query()]) -> rows.Row:
    """Live facts, or those of another time, the latest change first."""
    with office.reading() as ledger:
        live = _facts(ledger, query.as_of) if begun(ledger) else []
    chosen = [fact for fact in reversed(live) if query.wants(fact)]
    shown = chosen[query.offset : query.offset + query.limit]
    return {"total": len(chosen), "facts": [rows.fact_row(one) for one in shown]}


def _facts(ledger: LedgerReader, as_of: datetime | None) -> list[Fact]:
    epoch = ledger.epoch().number
    if as_of is None:
        return live_facts(ledger, epoch, now_s=time.time())
    return facts_as_of(ledger, as_of.timestamp(), epoch=epoch)


@router.get("/v1/facts/{name:path}")
def fact(office: TheOffice, name: str, _: Viewer) -> rows.Row:
    """All facts with this id or about this subject, with what the ledger says about them."""
    now_s = time.time()
    with office.reading() as ledger:
        found = [fact_record(ledger, one, now_s=now_s) for one in known_facts(ledger, name)]
    return {"facts": [rows.plain(rows.fact_detail(one)) for one in found]}


@router.get("/v1/epochs")
def epochs(office: TheOffice, _: Viewer, limit: Limit = 200) -> rows.Row:
    """The latest epochs with their perplexity ratios, and the trials that made none."""
    with office.reading() as ledger:
        found, read, refs = ledger.epochs(), rows.ratios(ledger), ledger.refs()
        tried = rows.trials(ledger)
    return {
        "refs": refs,
        "epochs": [rows.epoch_row(one, read.get(one.number)) for one in found[-limit:]],
        "rejected": rows.plain(tried[-limit:]),
    }


@router.get("/v1/epochs/{number}")
def epoch(office: TheOffice, number: Number, _: Viewer) -> rows.Row:
    """One epoch: what it changed, and the verdict of its trial."""
    with office.reading() as ledger:
        require_epoch(ledger, number)
        return rows.epoch_detail(epoch_record(ledger, number), rows.ratios(ledger).get(number))


@router.get("/v1/trials/{number}")
def trial(office: TheOffice, number: Number, _: Viewer) -> rows.Row:
    """A trial that made no epoch: its facts, and its gates with the questions whose answers it lost."""
    with office.reading() as ledger:
        found = rows.trial_detail(ledger, number)
    if found is None:
        raise NotFound(f"there is no trial {number}: /v1/epochs lists them under `rejected`")
    return found


@router.get("/v1/held")
def held(office: TheOffice, _: Viewer) -> rows.Row:
    """Corrections that wait for a person."""
    with office.reading() as ledger:
        entries = ledger.entries(Fate.HELD, limit=-1)
        return {"held": [rows.held_row(one, ledger.approvals(one.seq)) for one in entries]}


@router.get("/v1/dead-letters")
def dead_letters(office: TheOffice, _: Viewer) -> rows.Row:
    """Messages that could not be processed."""
    with office.reading() as ledger:
        return {"dead_letters": [rows.dead_letter_row(one) for one in ledger.dead_letters()]}


@router.get("/v1/explain/{name:path}")
def explain(office: TheOffice, name: str, _: Viewer) -> rows.Row:
    """The whole story of a correction, by its id or that of its fact."""
    with office.reading() as ledger:
        try:
            return {"story": rows.story_rows(story(ledger, name, now_s=time.time()))}
        except UsageError as error:
            raise NotFound(str(error)) from error


@router.get("/v1/audit")
def audit(office: TheOffice, _: Viewer) -> rows.Row:
    """Who changed what."""
    with office.reading() as ledger:
        return {"audit": rows.audit_rows(ledger)}


@router.get("/v1/events", response_class=Response, responses=_EVENTS)
async def events(office: TheOffice, _: Viewer, request: Request) -> StreamingResponse:
    """The state as server-sent events, whenever it changes."""
    return StreamingResponse(_states(office, request), media_type="text/event-stream")


@router.post("/v1/ask")
def ask(office: TheOffice, body: QuestionBody, _: Viewer) -> rows.Row:
    """Answer a question from the serving epoch."""
    answer = office.system.ask([body.question], tenant=body.tenant)[0]
    found: rows.Row = rows.plain(
        {
            "answer": answer.text,
            "epoch": answer.epoch,
            "placement": answer.placement,
            "facts": list(answer.facts),
            "scope": answer.scope,
            "score": answer.score,
            "reason": answer.reason,
        }
    )
    return found


async def _states(office: Office, request: Request) -> AsyncIterator[str]:
    said = ""
    while not await request.is_disconnected():
        try:
            body = json.dumps(await asyncio.to_thread(office.state))
        except GuardeditError as error:
            body = json.dumps({"problem": str(error)})
        if body != said:
            said = body
            yield f"data: {body}\n\n"
        await asyncio.sleep(LOOK_S)
