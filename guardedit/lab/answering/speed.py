"""Tokens a second and latency of a served model, beside transformers' own `generate` on the same model."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from guardedit.lab.answering.clients import ClientLoad, Clients, client_process
from guardedit.lab.answering.targets import Target, one_replica, question_about, several_replicas
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Most prompts that `generate` answers one by one in a round.
_ONE_BY_ONE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSpeed:
    """One row of the result. Speeds and times are medians over the rounds.

    Attributes:
        asked: `no facts` or `with facts`, which questions were asked; `publishing`: with facts, and an epoch
            is published every second.
        in_scope: share of the answers that name a fact.
        clients: that ask at the same time.
        tokens_per_s: of all clients together.
        one_by_one, together: the same of `generate`, for one prompt after the other and for as many prompts
            in a batch as there are clients; NaN where it was not measured.
        of_together: `tokens_per_s` over `together`, of the same round.
        first_ms: time to the first token, median.
        whole_ms, whole_p99_ms: time to the whole answer, median and 99th percentile.
        errors: answers that failed.
    """

    asked: str
    in_scope: float
    clients: int
    tokens_per_s: float
    one_by_one: float
    together: float
    of_together: float
    first_ms: float
    whole_ms: float
    whole_p99_ms: float
    errors: int


def measure_speed(
    settings: Settings,
    policy: Policy,
    *,
    clients: Sequence[int],
    requests: int,
    tokens: int,
    rounds: int,
    replicas: int,
    tell: Callable[[str], None],
) -> list[ServedSpeed]:
    """Ask a served model from more and more clients, each time beside plain `generate`.

    Args:
        settings: names the model; its home folder is not used.
        policy: its memory section, and all of it with several replicas.
        clients: numbers of clients.
        requests: questions for each client in a round.
        tokens: of each answer. With one replica, tokens that end a text count like any other.
        rounds: how many times `generate` and the served model are measured, in turns: on a busy machine, the
            two of one round are comparable.
        replicas: how many answer; more than one run in Ray actors.
        tell: progress.
    """
    tell("loading the model")
    opened = (
        several_replicas(settings, policy, count=replicas, tell=tell)
        if replicas > 1
        else one_replica(settings, policy)
    )
    rows = []
    with opened as target, client_process() as asked:
        asked(
            target.url, [_plain(n) for n in range(4 * replicas)], clients=2 * replicas, tokens=tokens
        )  # warm
        for count in clients:
            found = []
            for n in range(rounds):
                tell(f"{count} clients, no facts, round {n + 1} of {rounds}")
                found.append(_round(target, asked, n, count=count, requests=requests, tokens=tokens))
            rows.append(_row("no facts", count, found))
        most = max(clients)
        questions = [question_about(n) for n in range(most * requests)]
        tell(f"{most} clients, with facts")
        load = asked(target.url, questions, clients=most, tokens=tokens)
        rows.append(_row("with facts", most, [_Round(load)]))
        tell(f"{most} clients, an epoch published every second")
        with _publishing(target):
            load = asked(target.url, questions, clients=most, tokens=tokens)
        rows.append(_row("publishing", most, [_Round(load)]))
    return rows


@dataclass(frozen=True, slots=True)
class _Round:
    load: ClientLoad
    one_by_one: float = float("nan")
    together: float = float("nan")


def _round(target: Target, asked: Clients, n: int, *, count: int, requests: int, tokens: int) -> _Round:
    size = count * requests
    questions = [_plain(n * size + at) for at in range(size)]  # new ones: the encoder knows the earlier ones
    few = questions[:_ONE_BY_ONE]
    one_by_one = _generated(target.host, few, batch=1, tokens=tokens)
    together = _generated(target.host, questions, batch=count, tokens=tokens)
    return _Round(asked(target.url, questions, clients=count, tokens=tokens), one_by_one, together)


def _row(asked: str, clients: int, rounds: Sequence[_Round]) -> ServedSpeed:
    answers = tuple(answer for one in rounds for answer in one.load.answers)
    whole = ClientLoad(answers, sum(one.load.seconds for one in rounds))
    return ServedSpeed(
        asked=asked,
        in_scope=whole.with_fact,
        clients=clients,
        tokens_per_s=statistics.median(one.load.tokens_per_s for one in rounds),
        one_by_one=statistics.median(one.one_by_one for one in rounds),
        together=statistics.median(one.together for one in rounds),
        of_together=statistics.median(one.load.tokens_per_s / one.together for one in rounds),
        first_ms=whole.first_ms(0.5),
        whole_ms=whole.whole_ms(0.5),
        whole_p99_ms=whole.whole_ms(0.99),
        errors=sum(one.status != 200 for one in answers),
    )


@contextmanager
def _publishing(target: Target) -> Iterator[None]:
    """Publish an epoch with other facts every second."""
    done = threading.Event()

    def publish() -> None:
        while not done.wait(1.0):
            target.publish()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _generated(host: ModelHost, prompts: Sequence[str], *, batch: int, tokens: int) -> float:
    """Tokens a second of transformers' `generate`, greedy, with padding on the left."""
    tokenizer = host.tokenizer
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    pad = tokenizer.pad_token
    tokenizer.pad_token = pad or tokenizer.eos_token
    try:
        started, made = time.perf_counter(), 0
        with host.lock, torch.inference_mode():
            for at in range(0, len(prompts), batch):
                rows = tokenizer(
                    list(prompts[at : at + batch]),
                    return_tensors="pt",
                    padding=True,
                    return_token_type_ids=False,
                )
                host.model.generate(
                    **rows.to(host.device),
                    max_new_tokens=tokens,
                    min_new_tokens=tokens,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id,
                )
                made += tokens * len(rows["input_ids"])
        return made / (time.perf_counter() - started)
    finally:
        tokenizer.padding_side, tokenizer.pad_token = side, pad


def _plain(n: int) -> str:
    """A question that no fact answers; questions have different lengths."""
    return f"Story number {n}: {'once upon a time ' * (1 + n % 4)}there was"
