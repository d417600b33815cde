"""Many clients of a server with OpenAI's API: they ask at the same time and note when what arrived.

They run in a process of their own: in that of a server, they would take the interpreter from it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

import httpx

#: Longest time that a client waits for one answer, in seconds.
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """One answer as a client saw it.

    Attributes:
        question: what was asked.
        text: the answer; "" for an error.
        epoch: that it names.
        tokens: that the server made.
        asked_s: when it was asked, by `time.perf_counter`.
        first_s, whole_s: seconds from then until the first piece, and until the end.
        status: of HTTP.
        with_fact: whether the answer names a fact.
    """

    question: str
    text: str
    epoch: str
    tokens: int
    asked_s: float
    first_s: float
    whole_s: float
    status: int
    with_fact: bool = False


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """What some clients saw together.

    Attributes:
        answers: all answers.
        seconds: from the first question to the last answer.
    """

    answers: tuple[ClientAnswer, ...]
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second of all clients together."""
        return sum(one.tokens for one in self.answers) / self.seconds

    @property
    def with_fact(self) -> float:
        """Share of the answers that name a fact."""
        return sum(one.with_fact for one in self.answers) / len(self.answers)

    def first_ms(self, share: float) -> float:
        """Time to the first token, in ms, that this share of the answers stays below."""
        return 1000 * quantile([one.first_s for one in self.answers], share)

    def whole_ms(self, share: float) -> float:
        """Time to the whole answer, in ms, that this share of the answers stays below."""
        return 1000 * quantile([one.whole_s for one in self.answers], share)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values stays below; of one value, itself."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[min(98, round(100 * share) - 1)]


class Clients(Protocol):
    """Asks questions, as `load_of` does."""

    def __call__(self, url: str, questions: Sequence[str], *, clients: int, tokens: int) -> ClientLoad:
        """The answers to all questions, from so many clients at the same time."""


@contextmanager
def client_process() -> Iterator[Clients]:
    """Clients in a process of their own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer_orders, args=(theirs,), name="guardedit-clients", daemon=True)
    process.start()
    theirs.close()

    def asked(url: str, questions: Sequence[str], *, clients: int, tokens: int) -> ClientLoad:
        ours.send((url, list(questions), clients, tokens))
        found = ours.recv()
        if isinstance(found, BaseException):
            raise found
        assert isinstance(found, ClientLoad)
        return found

    try:
        yield asked
    finally:
        ours.close()
        process.join()


def _answer_orders(orders: Connection) -> None:
    while True:
        try:
            url, questions, clients, tokens = orders.recv()
        except EOFError:  # the bench has ended
            return
        try:
            orders.send(load_of(url, questions, clients=clients, tokens=tokens))
        except Exception as error:  # noqa: BLE001 - raised again in the bench
            orders.send(RuntimeError(f"{type(error).__name__}: {error}"))


def load_of(url: str, questions: Sequence[str], *, clients: int, tokens: int) -> ClientLoad:
    """Ask all questions of `/v1/completions`, streamed, from so many clients at the same time."""
    return asyncio.run(_load_of(url, questions, clients, tokens))


async def _load_of(url: str, questions: Sequence[str], clients: int, tokens: int) -> ClientLoad:
    waiting = iter(questions)
    answers: list[ClientAnswer] = []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits, trust_env=False) as http:

        async def client() -> None:
            answers.extend([await _asked(http, url, question, tokens) for question in waiting])

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return ClientLoad(tuple(answers), time.perf_counter() - started)


async def _asked(http: httpx.AsyncClient, url: str, question: str, tokens: int) -> ClientAnswer:
    usage = {"include_usage": True}
    body = {"prompt": question, "max_tokens": tokens, "stream": True, "stream_options": usage}
    started = time.perf_counter()
    first, made, texts, epoch = 0.0, 0, list[str](), ""
    async with http.stream("POST", f"{url}/v1/completions", json=body) as answer:
        if answer.status_code != httpx.codes.OK:
            await answer.aread()
            took = time.perf_counter() - started
            return ClientAnswer(question, "", "", 0, started, took, took, answer.status_code)
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                took = time.perf_counter() - started
                return ClientAnswer(question, "", "", made, started, first or took, took, 500)
            first = first or time.perf_counter() - started
            texts += [choice["text"] for choice in chunk["choices"]]
            epoch = chunk["system_fingerprint"]
            made = chunk.get("usage", {}).get("completion_tokens", 0)
    return ClientAnswer(
        question,
        "".join(texts),
        epoch,
        made,
        started,
        first,
        time.perf_counter() - started,
        answer.status_code,
        with_fact=bool(answer.headers["x-guardedit-facts"]),
    )
