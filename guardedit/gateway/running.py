"""Answers while the engine makes them: their pieces come from its thread into an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request

from guardedit.gateway.asking import Asker, Prepared
from guardedit.gateway.checking import client_gone
from guardedit.models.streaming.request import Piece
from guardedit.models.streaming.request import Request as Wanted

#: The number of an answer in its response, and a piece of it or the error that ended it.
_Delivered = tuple[int, Piece | BaseException]


@dataclass(slots=True)
class Answered:
    """The pieces of one answer so far."""

    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def tokens(self) -> int:
        """Number of generated tokens."""
        return sum(piece.token is not None for piece in self.pieces)

    @property
    def finish(self) -> str | None:
        """Why it ended."""
        return self.pieces[-1].finish if self.pieces else None


class RunningAnswers:
    """The answers of one request while the engine makes them. Used in one event loop.

    Args:
        asker: of the model.
        prepared: what it is asked.

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
        gone = asyncio.create_task(client_gone(request.receive))
        try:
            while self._open:
                await self._piece_or_gone(gone)
        finally:
            gone.cancel()
            self.cancel()
        return self.answers

    async def first_piece(self, request: Request) -> tuple[int, Piece] | None:
        """As `next_piece`; the answers are cancelled if the client goes away before it."""
        gone = asyncio.create_task(client_gone(request.receive))
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
