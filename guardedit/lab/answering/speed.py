"""Tokens a second and latency of a served model, beside transformers' own `generate` on the same model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from guardedit import assembly
from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Snapshot, Update
from guardedit.lab.answering.clients import ClientLoad, load_of
from guardedit.lab.answering.served import served_locally
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.answers import base_snapshot
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: Facts in memory during the measurement.
FACTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSpeed:
    """One row of the result.

    Attributes:
        asked: `no facts` or `with facts`, which questions were asked; `publishing`: with facts, and an epoch
            is published every second.
        in_scope: share of the answers that name a fact.
        clients: that ask at the same time.
        tokens_per_s: of all clients together.
        one_by_one, together: the same of `generate`, for one prompt after the other and for as many prompts
            in a batch as there are clients; NaN where it was not measured.
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
    tell: Callable[[str], None],
) -> list[ServedSpeed]:
    """Ask a served model from more and more clients, each time beside plain `generate`.

    Answers have exactly `tokens` tokens: tokens that end a text count like any other.

    Args:
        settings: names the model; its home folder is not used.
        policy: its memory section.
        clients: numbers of clients.
        requests: questions for each client.
        tokens: of each answer.
        tell: progress.
    """
    tell("loading the model")
    host = assembly.load_host(settings)
    host.stops = frozenset()
    rows = []
    with _served(settings, policy, host) as (url, replica):
        load_of(url, [_plain(n) for n in range(4)], clients=2, tokens=tokens)  # warm
        for count in clients:
            questions = [_plain(n) for n in range(count * requests)]
            tell(f"{count} clients, no facts")
            one_by_one = _generated(host, questions[: max(4, requests)], batch=1, tokens=tokens)
            together = _generated(host, questions, batch=count, tokens=tokens)
            found = load_of(url, questions, clients=count, tokens=tokens)
            rows.append(_row("no facts", count, found, one_by_one=one_by_one, together=together))
        most = max(clients)
        asked = [f"The headquarters of Subject{n % FACTS} are in" for n in range(most * requests)]
        tell(f"{most} clients, with facts")
        rows.append(_row("with facts", most, load_of(url, asked, clients=most, tokens=tokens)))
        tell(f"{most} clients, an epoch published every second")
        with _publishing(replica, policy, host.base_sha256):
            rows.append(_row("publishing", most, load_of(url, asked, clients=most, tokens=tokens)))
    return rows


def _row(
    asked: str,
    clients: int,
    load: ClientLoad,
    *,
    one_by_one: float = float("nan"),
    together: float = float("nan"),
) -> ServedSpeed:
    return ServedSpeed(
        asked=asked,
        in_scope=load.with_fact,
        clients=clients,
        tokens_per_s=load.tokens_per_s,
        one_by_one=one_by_one,
        together=together,
        first_ms=load.first_ms(0.5),
        whole_ms=load.whole_ms(0.5),
        whole_p99_ms=load.whole_ms(0.99),
        errors=sum(one.status != 200 for one in load.answers),
    )


@contextmanager
def _served(settings: Settings, policy: Policy, host: ModelHost) -> Iterator[tuple[str, ServingReplica]]:
    memory = assembly.load_memory(settings, policy)
    fold = assembly.served_fold(settings, policy, host)
    replica = ServingReplica(host, fold, [MemoryShard(memory)], prompts=assembly.load_prompts(settings))
    replica.publish(_snapshot(policy, host.base_sha256, number=1))
    with served_locally(settings, policy, host=host, fold=fold, replica=replica, memory=memory) as url:
        yield url, replica


def _snapshot(policy: Policy, base: str, *, number: int) -> Snapshot:
    facts = tuple(_fact(n, number) for n in range(FACTS))
    return Snapshot(epoch=_epoch(policy, base, number), facts=facts)


def _epoch(policy: Policy, base: str, number: int) -> Epoch:
    return replace(base_snapshot(base, policy).epoch, number=number)


def _fact(n: int, version: int) -> Fact:
    subject = f"Subject{n}"
    return Fact(
        key=FactKey(subject, "P159"),
        version=version,
        correction_id=f"{version}-{n}",
        wordings=(f"The headquarters of {subject} are in",),
        target=("Hamilton", "Oslo")[version % 2],
    )


@contextmanager
def _publishing(replica: ServingReplica, policy: Policy, base: str) -> Iterator[None]:
    """Publish an epoch with other facts every second."""
    done = threading.Event()

    def publish() -> None:
        number = replica.epoch() or 0
        while not done.wait(1.0):
            changes = tuple(Change(fact.key, fact) for fact in (_fact(n, number + 1) for n in range(FACTS)))
            epoch = _epoch(policy, base, number + 1)
            replica.follow(Update(after=number, epoch=epoch, changes=changes, edits=None))
            number += 1

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
