"""`/v1/chat/completions`, `/v1/completions` and `/v1/models`, over the models that are served."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from guardedit.core.errors import GuardeditError
from guardedit.gateway.asking import AnswerRequest
from guardedit.gateway.models import ServedModels
from guardedit.gateway.openai.bodies import Bodies, Kind, headers_of
from guardedit.gateway.openai.failures import DOCUMENTED, failed, on_bad_request, on_error, on_http_error
from guardedit.gateway.openai.schema import ChatRequest, CompletionRequest
from guardedit.gateway.running import RunningAnswers
from guardedit.models.streaming.request import Piece
from guardedit.version import VERSION

#: An answer at once, or with `stream` as it is made.
_ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/event-stream": {}}}
}


def openai_app(
    models: ServedModels,
    *,
    tokenizer: Any,
    clock: Callable[[], float] = time.time,
    problem: Callable[[], str] = lambda: "",
) -> FastAPI:
    """The application.

    Args:
        models: what can be asked.
        tokenizer: shows tokens in logprobs.
        clock: seconds since 1970, for `created`.
        problem: why the serving epoch is not that of the ledger; "" if it is.
    """
    app = FastAPI(title="guardedit", version=VERSION, docs_url=None, redoc_url=None, responses=DOCUMENTED)
    app.add_exception_handler(GuardeditError, on_error)
    app.add_exception_handler(RequestValidationError, on_bad_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_error)
    started = int(clock())

    @app.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(name, started) for name in models.names()]}

    @app.get("/v1/models/{name:path}")
    def show_model(name: str) -> dict[str, Any]:
        models.find(name)
        return _model(name, started)

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        found, epoch = problem(), models.find("serving").replica.epoch()
        body = {"status": "failing" if found else "ok", "epoch": epoch, "problems": [found] if found else []}
        return JSONResponse(body, status_code=503 if found else 200)

    @app.post("/v1/chat/completions", responses=_ANSWERED)
    async def chat(body: ChatRequest, request: Request) -> Response:
        turns = [message.turn() for message in body.messages]
        asked = AnswerRequest(
            prompt=turns,
            tenant=body.guardedit.tenant,
            most_tokens=body.most_tokens,
            sampling=body.sampling(seed=secrets.randbits(63), logprobs=body.reported),
            stop=body.stops,
            answers=body.n or 1,
        )
        return await _answer("chat", [asked], body, request)

    @app.post("/v1/completions", responses=_ANSWERED)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        asked = [
            AnswerRequest(
                prompt=prompt,
                tenant=body.guardedit.tenant,
                most_tokens=body.max_tokens,
                sampling=body.sampling(seed=secrets.randbits(63), logprobs=body.logprobs),
                stop=body.stops,
                answers=body.n or 1,
            )
            for prompt in body.prompts
        ]
        return await _answer("text", asked, body, request)

    async def _answer(
        kind: Kind, asked: Sequence[AnswerRequest], body: ChatRequest | CompletionRequest, request: Request
    ) -> Response:
        asker = await asyncio.to_thread(models.find, body.model)
        with asker.announced():
            prepared = await asyncio.to_thread(asker.prepare, asked)
            running = RunningAnswers(asker, prepared)
        bodies = Bodies(kind, body.model, int(clock()), prepared, tokenizer, explain=body.guardedit.explain)
        if not body.stream:
            answers = await running.all_pieces(request)
            return JSONResponse(bodies.whole(answers), headers=headers_of(prepared))
        usage = bool(body.stream_options and body.stream_options.include_usage)
        first = await running.first_piece(request)  # an error before the first token gets a status of its own
        events = _events(bodies, running, first, usage=usage)
        return StreamingResponse(
            events,
            media_type="text/event-stream",
            headers={**headers_of(prepared), "Cache-Control": "no-cache"},
        )

    return app


async def _events(
    bodies: Bodies, running: RunningAnswers, first: tuple[int, Piece] | None, *, usage: bool
) -> AsyncIterator[str]:
    """Server-sent events: one for each piece, the usage, and the sign of the end."""
    begun = set[int]()
    found = first
    try:
        while found is not None:
            number, piece = found
            if piece.text or piece.finish or piece.logprob or number not in begun:
                yield _event(bodies.chunk(number, piece, first=number not in begun))
                begun.add(number)
            found = await running.next_piece()
        if usage:
            yield _event(bodies.last_chunk(running.answers))
        yield "data: [DONE]\n\n"
    except GuardeditError as error:  # the status is sent already, so the error is an event
        yield _event(failed(error)[1])
    finally:
        running.cancel()


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "guardedit"}
