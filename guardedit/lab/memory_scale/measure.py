"""Measures the memory with a given number of facts: filling, looking up, and one more fact."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.core.serving import Snapshot, Update
from guardedit.lab.memory_scale.synthetic import WordModel, fact, named_question, unnamed_question
from guardedit.lab.memory_scale.timing import TimedModel, encoding_ms, quantile, resident_bytes, timed_ms
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.serving.facts_replica import FactsReplica
from guardedit.serving.shard import MemoryShard

#: Questions in a batch.
BATCH = 64
#: Facts that are written to the ledger in one transaction while it is filled.
_CHUNK = 2_000
#: More facts are not written to a ledger: it would take gigabytes of the disk.
MOST_IN_LEDGER = 100_000
#: Questions of each kind on which the recall of the search is measured.
_RECALLED = 200
ASK = (named_question, unnamed_question)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAtSize:
    """The measurements at one number of facts. Unmeasured numbers are NaN.

    Attributes:
        facts: live facts, of two wordings each.
        encoder: `minilm`, or `words` for made-up vectors (`WordModel`).
        ingest_encoder_s: of loading all facts, the seconds in the encoder.
        ingest_rest_s: the other seconds.
        rebuild_s: seconds to build the indexes again from the same facts, without the encoder.
        named_p50_ms, named_p99_ms: one question that names a subject, without the encoder.
        unnamed_p50_ms, unnamed_p99_ms: one question that names none: the nearest fact is searched for.
        named_cpu_p99_ms, unnamed_cpu_p99_ms: the same in time of the processor, which other programs do not
            lengthen.
        encoder_p50_ms, encoder_p99_ms: the real encoder on the texts of one question.
        with_encoder_p50_ms, with_encoder_p99_ms: both, over all questions.
        batched_per_s: questions a second in batches of `BATCH`, without the encoder.
        batched_with_encoder_per_s: the same with the real encoder.
        publish_p50_ms, publish_p99_ms: one more fact: from its epoch in the ledger to a replica that answers
            with it, without the encoder.
        commit_p50_ms, commit_p99_ms: the write to the ledger before, which waits for the disk.
        publish_texts: most texts that were encoded for one more fact.
        bytes_per_fact: growth of the resident memory, facts included.
        recall_at_8: share of the eight nearest keys that the search finds.
    """

    facts: int
    encoder: str
    ingest_encoder_s: float
    ingest_rest_s: float
    rebuild_s: float
    named_p50_ms: float
    named_p99_ms: float
    unnamed_p50_ms: float
    unnamed_p99_ms: float
    named_cpu_p99_ms: float
    unnamed_cpu_p99_ms: float
    encoder_p50_ms: float
    encoder_p99_ms: float
    with_encoder_p50_ms: float
    with_encoder_p99_ms: float
    batched_per_s: float
    batched_with_encoder_per_s: float
    publish_p50_ms: float
    publish_p99_ms: float
    commit_p50_ms: float
    commit_p99_ms: float
    publish_texts: int
    bytes_per_fact: float
    recall_at_8: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookups:
    """Milliseconds of questions one by one, and rates in batches."""

    named: list[float]
    unnamed: list[float]
    named_cpu: list[float]
    unnamed_cpu: list[float]
    encoder: list[float]
    with_encoder: list[float]
    per_s: float
    per_s_with_encoder: float


def measure_memory(
    facts: int,
    real: SentenceEncoder,
    *,
    encoded: int,
    questions: int = 200,
    published: int = 50,
    seed: int = 0,
    tell: Tell = lambda _: None,
) -> MemoryAtSize:
    """Fill a memory behind a replica, ask it, and publish facts one by one.

    Args:
        facts: number of facts.
        real: the sentence encoder. It encodes the facts if there are not more than `encoded`; and in any case
            the texts of some questions, to measure its time.
        encoded: largest number of facts that the real encoder encodes.
        questions: of each kind.
        published: facts that are published one by one.
        seed: seed of the choice of questions.
        tell: progress.
    """
    is_real = facts <= encoded
    timed = TimedModel(real.model if is_real else WordModel())
    encoder = SentenceEncoder(timed, sha256=real.sha256 if is_real else WordModel.sha256)
    thresholds = replace(ScopeThresholds.load(), encoder_sha256=encoder.sha256)
    encoder.encode(["a text that makes the model take the memory that it needs"] * 64)
    before = resident_bytes()
    tell(f"{facts} facts: loading them")
    stored = [fact(number) for number in range(facts)]
    memory = RetrievalMemory(encoder, thresholds)
    replica = FactsReplica([MemoryShard(memory)])
    with _ledger(stored[: MOST_IN_LEDGER if facts <= MOST_IN_LEDGER else 0], tell) as ledger:
        epoch = ledger.epoch()
        started, encoding = time.perf_counter(), timed.seconds
        replica.publish(Snapshot(epoch=epoch, facts=tuple(stored)))
        ingest_encoder_s = timed.seconds - encoding
        ingest_s = time.perf_counter() - started
        grown = resident_bytes() - before
        tell(f"{facts} facts: waiting for the indexes")
        memory.wait()
        tell(f"{facts} facts: asking")
        lookups = _lookups(replica, timed, real, facts, questions=questions, seed=seed)
        recall = memory.recall_of_search(
            [ask(n) for n in range(0, facts, -(-facts // _RECALLED)) for ask in ASK]
        )
        tell(f"{facts} facts: publishing more")
        publish, commit, texts = _publish(replica, ledger, timed, facts, count=published)
    del replica, memory
    gc.collect()
    tell(f"{facts} facts: rebuilding")
    again = RetrievalMemory(encoder, thresholds)
    started, encoding = time.perf_counter(), timed.seconds
    again.rebuild(stored)
    rebuild_s = time.perf_counter() - started - (timed.seconds - encoding)
    return MemoryAtSize(
        facts=facts,
        encoder="minilm" if is_real else "words",
        ingest_encoder_s=ingest_encoder_s,
        ingest_rest_s=ingest_s - ingest_encoder_s,
        rebuild_s=rebuild_s,
        named_p50_ms=quantile(lookups.named, 0.5),
        named_p99_ms=quantile(lookups.named, 0.99),
        unnamed_p50_ms=quantile(lookups.unnamed, 0.5),
        unnamed_p99_ms=quantile(lookups.unnamed, 0.99),
        named_cpu_p99_ms=quantile(lookups.named_cpu, 0.99),
        unnamed_cpu_p99_ms=quantile(lookups.unnamed_cpu, 0.99),
        encoder_p50_ms=quantile(lookups.encoder, 0.5),
        encoder_p99_ms=quantile(lookups.encoder, 0.99),
        with_encoder_p50_ms=quantile(lookups.with_encoder, 0.5),
        with_encoder_p99_ms=quantile(lookups.with_encoder, 0.99),
        batched_per_s=lookups.per_s,
        batched_with_encoder_per_s=lookups.per_s_with_encoder,
        publish_p50_ms=quantile(publish, 0.5),
        publish_p99_ms=quantile(publish, 0.99),
        commit_p50_ms=quantile(commit, 0.5),
        commit_p99_ms=quantile(commit, 0.99),
        publish_texts=texts,
        bytes_per_fact=grown / facts,
        recall_at_8=recall,
    )


def _lookups(
    replica: FactsReplica, timed: TimedModel, real: SentenceEncoder, facts: int, *, questions: int, seed: int
) -> _Lookups:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, facts, size=questions).tolist()
    encoder: list[float] = []
    both: list[float] = []
    named, unnamed, named_cpu, unnamed_cpu = (list[float]() for _ in range(4))
    for ask, took, busy in zip(ASK, (named, unnamed), (named_cpu, unnamed_cpu), strict=True):
        for number in numbers:
            timed.calls, encoding, started = [], timed.cpu_s, time.thread_time()
            ms = timed_ms(timed, lambda: replica.recalled([ask(number)]))  # noqa: B023 - called at once
            busy.append((time.thread_time() - started - (timed.cpu_s - encoding)) * 1e3)
            took.append(ms)
            encoder.append(encoding_ms(real, timed.calls))
            both.append(ms + encoder[-1])
    batch = [named_question(number + 1) for number in numbers[: BATCH // 2]]
    batch += [unnamed_question(number + 1) for number in numbers[: BATCH // 2]]
    timed.calls = []
    ms = timed_ms(timed, lambda: replica.recalled(batch))
    in_encoder_ms = encoding_ms(real, timed.calls)
    timed.calls = None
    return _Lookups(
        named=named,
        unnamed=unnamed,
        named_cpu=named_cpu,
        unnamed_cpu=unnamed_cpu,
        encoder=encoder,
        with_encoder=both,
        per_s=len(batch) / ms * 1e3,
        per_s_with_encoder=len(batch) / (ms + in_encoder_ms) * 1e3,
    )


def _publish(
    replica: FactsReplica, ledger: SqliteLedger, timed: TimedModel, facts: int, *, count: int
) -> tuple[list[float], list[float], int]:
    """Milliseconds of publishing and of committing each of `count` more facts, and most texts encoded."""
    publish, commit, texts = [], [], 0
    epoch = ledger.epoch()
    for number in range(facts, facts + count):
        new = fact(number)
        change = Change(new.key, new)
        if facts <= MOST_IN_LEDGER:
            started = time.perf_counter()
            ledger.change_facts([change], kind="remember", reason="one more")
            commit.append((time.perf_counter() - started) * 1e3)
        before = timed.texts
        if facts <= MOST_IN_LEDGER:
            after = epoch.number
            publish.append(timed_ms(timed, lambda: replica.follow(ledger.update(after))))  # noqa: B023
            epoch = ledger.epoch()
        else:
            epoch, after = replace(epoch, number=epoch.number + 1), epoch.number
            update = Update(after=after, epoch=epoch, changes=(change,))
            publish.append(timed_ms(timed, lambda: replica.follow(update)))  # noqa: B023 - called at once
        texts = max(texts, timed.texts - before)
    return publish, commit, texts


@contextmanager
def _ledger(stored: Sequence[Fact], tell: Tell) -> Iterator[SqliteLedger]:
    """A ledger with these facts in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="guardedit-bench-") as folder:
        ledger = SqliteLedger.open(
            Path(folder), base_sha256="0" * 64, policy_sha256="0" * 64, clock=time.time
        )
        with ledger:
            for start in range(0, len(stored), _CHUNK):
                tell(f"{len(stored)} facts: {start} are in the ledger")
                changes = [Change(one.key, one) for one in stored[start : start + _CHUNK]]
                ledger.change_facts(changes, kind="remember", reason="many")
            yield ledger
