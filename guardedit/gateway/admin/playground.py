"""The playground: any epoch answers a question, with or without its facts, piece by piece.

It has a model, a memory and an engine of its own, which the first question opens, so an answer never takes a
lock of the cycles. With the local runtime it shares the tensors and the encoder with them. Otherwise only the
processor is shared, so only a few short answers are made at the same time.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from guardedit.core.errors import GuardeditError
from guardedit.gateway.admin.office import NotFound, Viewer
from guardedit.gateway.admin.problems import documented
from guardedit.gateway.asking import AnswerRequest, Asker, Prepared
from guardedit.gateway.checking import Receive, Scope, Send
from guardedit.gateway.models import ServedModels, UnknownModel
from guardedit.gateway.openai.bodies import explained
from guardedit.gateway.running import RunningAnswers
from guardedit.gateway.serving import open_models
from guardedit.models.streaming.engine import Busy
from guardedit.models.text.form import Turn
from guardedit.policy.schema import Policy
from guardedit.runtime.system import System
from guardedit.settings import Settings

router = APIRouter(responses=documented(400, 401, 403, 404, 409, 413, 422, 429, 500, 503))

#: Most answers that are made at the same time: two comparisons of two epochs.
MOST_ROWS = 4
#: Most questions that are being answered or wait; more are refused.
MOST_ASKED = 8
#: Most tokens of an answer, and their number where nobody says it.
MOST_TOKENS, USUAL_TOKENS = 128, 32


class PlaygroundQuestion(BaseModel):
    """A question for one epoch.

    Attributes:
        question: a text that ends where the answer begins; for a chat model, what the user says.
        epoch: `serving`, `base`, `last-good` or the number of an epoch.
        memory: whether the facts of the epoch are looked for; otherwise its weights answer alone.
        tenant: whose facts are used, besides those of `default`.
        max_tokens: most tokens of the answer.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    epoch: Annotated[str, Field(pattern="^([a-z][a-z-]{0,31}|[0-9]{1,18})$")] = "serving"
    memory: bool = True
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = "default"
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = USUAL_TOKENS

    @property
    def model(self) -> str:
        """The epoch as the name of a model."""
        return f"epoch:{self.epoch}" if self.epoch.isdecimal() else self.epoch

    def wanted(self) -> AnswerRequest:
        """What the epoch is asked."""
        return AnswerRequest(
            prompt=[Turn("user", self.question)],
            tenant=self.tenant,
            most_tokens=self.max_tokens,
            memory=self.memory,
        )


class Playground:
    """What the playground asks, opened by its first question. Thread-safe.

    Args:
        settings: home folder of the ledger.
        policy: its memory section.
        system: gives a model and an empty memory.
    """

    def __init__(self, settings: Settings, policy: Policy, system: System) -> None:
        self._settings, self._policy, self._system = settings, policy, system
        self._opening, self._counting = threading.Lock(), threading.Lock()
        self._models: ServedModels | None = None
        self._opened, self._asked = ExitStack(), 0
        #: Its own threads: in those of the event loop, questions that wait would stop submissions too.
        self.threads = ThreadPoolExecutor(MOST_ASKED, thread_name_prefix="guardedit-playground")

    def models(self) -> ServedModels:
        """The epochs of the ledger."""
        with self._opening:
            if self._models is None:
                opened = open_models(
                    self._settings,
                    self._policy,
                    *self._system.reading_parts(),
                    most_rows=MOST_ROWS,
                    most_waiting=MOST_ASKED,
                    usual_tokens=USUAL_TOKENS,
                )
                self._models = self._opened.enter_context(opened).models
            return self._models

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among the questions that are being answered.

        Raises:
            Busy: all are taken.
        """
        with self._counting:
            if self._asked >= MOST_ASKED:
                raise Busy(self._asked)
            self._asked += 1
        try:
            yield
        finally:
            with self._counting:
                self._asked -= 1

    def close(self) -> None:
        """End what is being answered. Safe to call twice."""
        with self._opening:
            self._opened.close()
            self._models = None
        self.threads.shutdown(cancel_futures=True)


@router.post("/v1/playground", responses={200: {"content": {"text/event-stream": {}}}})
async def ask(body: PlaygroundQuestion, request: Request, _: Viewer) -> StreamingResponse:
    """Answer a question from any epoch, as server-sent events.

    The first event is `start`, with the epoch and its facts, then come `text`s, and at last `end` or `error`.
    """
    playground: Playground = request.app.state.playground
    with ExitStack() as opened:
        opened.enter_context(playground.place())
        in_thread = partial(asyncio.get_running_loop().run_in_executor, playground.threads)
        asker = await in_thread(_asker, playground, body)
        prepared = await in_thread(asker.prepare, [body.wanted()])
        running = RunningAnswers(asker, prepared)
        opened.callback(running.cancel)
        return _Stream(_events(prepared[0], running), opened.pop_all())


class _Stream(StreamingResponse):
    """Events, and what is closed when they end or the client goes away, even before the first of them."""

    def __init__(self, events: AsyncIterator[str], opened: ExitStack) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened:
            await super().__call__(scope, receive, send)


def _asker(playground: Playground, body: PlaygroundQuestion) -> Asker:
    try:
        return playground.models().find(body.model)
    except UnknownModel as error:
        raise NotFound(f"there is no epoch {body.epoch!r}: /v1/epochs lists them") from error


async def _events(prepared: Prepared, running: RunningAnswers) -> AsyncIterator[str]:
    yield _event("start", **explained(prepared), memory=prepared.asked.memory)
    try:
        while (found := await running.next_piece()) is not None:
            piece = found[1]
            if piece.text:
                yield _event("text", text=piece.text)
            if piece.finish:
                yield _event("end", finish=piece.finish)
    except GuardeditError as error:  # the status is sent already
        yield _event("error", message=str(error))


def _event(name: str, **fields: Any) -> str:
    return f"data: {json.dumps({'event': name, **fields})}\n\n"
