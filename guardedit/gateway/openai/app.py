"""`/v1/chat/completions`, `/v1/completions` and `/v1/models`, over the models that are served."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from guardedit.core.errors import GuardeditError
from guardedit.gateway.asking import AnswerRequest, Asker, Prepared
from guardedit.gateway.models import ServedModels
from guardedit.gateway.openai.bodies import Answered, Bodies, Kind, headers_of
from guardedit.gateway.openai.failures import DOCUMENTED, failed, on_bad_request, on_error, on_http_error
from guardedit.gateway.openai.schema import ChatRequest, CompletionRequest
from guardedit.models.streaming.request import Piece
from guardedit.models.streaming.request import Request as Wanted
from guardedit.version import VERSION

#: Where an answer comes from: its number in the response, and a piece of it or the error that ended it.
_Delivered = tuple[int, Piece | BaseException]


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
        prepared = await asyncio.to_thread(asker.prepare, asked)
        bodies = Bodies(kind, body.model, int(clock()), prepared, tokenizer, explain=body.guardedit.explain)
        running = _Running(asker, prepared)
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


class _Running:
    """The answers of one request while the engine makes them. Used in one event loop.

    Raises:
        Busy: too many requests wait.
    """

    def __init__(self, asker: Asker, prepared: Sequence[Prepared]) -> None:
        loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Delivered] = asyncio.Queue()
        count = sum(one.asked.answers for one in prepared)
        deliver = [partial(self._deliver, loop, number) for number in range(count)]
        self._requests: list[Wanted] = asker.start(prepared, deliver)
        self.answers = [Answered() for _ in range(count)]
        self._open = count

    def _deliver(self, loop: asyncio.AbstractEventLoop, number: int, piece: Piece | BaseException) -> None:
        loop.call_soon_threadsafe(self._queue.put_nowait, (number, piece))

    async def next_piece(self) -> tuple[int, Piece] | None:
        """The next piece of any answer; None once all are complete. Raises the error that ended an answer."""
        if not self._open:
            return None
        number, piece = await self._queue.get()
        if isinstance(piece, BaseException):
            self.cancel()
            raise piece
        self.answers[number].pieces.append(piece)
        self._open -= piece.finish is not None
        return number, piece

    async def all_pieces(self, request: Request) -> list[Answered]:
        """The complete answers. They are cancelled if the client goes away."""
        gone = asyncio.create_task(_gone(request))
        try:
            while self._open:
                await self._piece_or_gone(gone)
        finally:
            gone.cancel()
            self.cancel()
        return self.answers

    async def first_piece(self, request: Request) -> tuple[int, Piece] | None:
        """As `next_piece`; the answers are cancelled if the client goes away before it."""
        gone = asyncio.create_task(_gone(request))
        try:
            return await self._piece_or_gone(gone)
        except BaseException:
            self.cancel()
            raise
        finally:
            gone.cancel()

    async def _piece_or_gone(self, gone: asyncio.Task[None]) -> tuple[int, Piece] | None:
        piece = asyncio.create_task(self.next_piece())
        await asyncio.wait({piece, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not piece.done():
            piece.cancel()
            raise asyncio.CancelledError
        return await piece

    def cancel(self) -> None:
        """Let the engine drop what is not complete."""
        for request in self._requests:
            request.cancelled = True


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(
    bodies: Bodies, running: _Running, first: tuple[int, Piece] | None, *, usage: bool
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
