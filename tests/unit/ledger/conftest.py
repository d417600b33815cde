"""Corrections, facts and edits to write down, and a ledger to write them in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from guardedit.core.correction import Correction, Provenance, decode_correction, encode_correction
from guardedit.core.decision import Decision, Route, RuleTrace
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.core.messages import Delivery, Fate, Received, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Gate, Outcome, Verdict, combine
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.naming import identity

BASE = "b" * 64


class Clock:
    """Says one second more each time it is asked."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def correction(n: int, target: str = "Paris") -> Correction:
    return Correction(
        id=f"c{n}",
        subject=f"Land {n}",
        prompt="The capital of {} is",
        target_new=target,
        provenance=Provenance(time_s=500.0 + n),
    )


def delivery(n: int, target: str = "Paris", *, position: str = "") -> Delivery:
    raw = encode_correction(correction(n, target))
    return Delivery(raw=raw, source="file", position=position or f"facts.jsonl:{n}")


def decision(route: Route = Route.MEMORY) -> Decision:
    trace = (RuleTrace(rule="all", matched=True, because="no condition"),)
    return Decision(route=route, rule="all", reason="the default", policy_sha256="p1", trace=trace)


def fact(of: Correction, version: int = 1) -> Fact:
    return Fact(
        key=of.key,
        version=version,
        correction_id=of.id,
        wordings=of.wordings,
        target=of.target_new,
        reported_at_s=of.provenance.time_s,
    )


def accepted(row: Received, version: int = 1) -> Settlement:
    of = decode_correction(row.raw)
    change = Change(of.key, fact(of, version))
    return Settlement(
        seq=row.seq,
        fate=Fate.ACCEPTED,
        reason="live",
        correction=of,
        decision=decision(),
        change=change,
        reach=(identity(of.subject),),
    )


def settled(row: Received, fate: Fate, reason: str = "", *, route: Route | None = None) -> Settlement:
    of = None if fate is Fate.DEAD else decode_correction(row.raw)
    said = decision(route) if route else None
    return Settlement(seq=row.seq, fate=fate, reason=reason, correction=of, decision=said)


def edit(facts: Sequence[Fact], payload: bytes = b"") -> WeightEdit:
    ids = tuple(sorted(f.id for f in facts))
    return WeightEdit(
        subject=facts[0].key.subject,
        facts=ids,
        method="memit",
        payload=payload or "".join(ids).encode() * 50,
        diagnostics={"norm": 1.5},
    )


def verdict(outcome: Outcome = Outcome.ACCEPT, value: float = 1.01) -> Verdict:
    gate = Gate(name="perplexity_ratio", value=value, limit=1.02, at_most=True, outcome=outcome)
    return combine((gate,), probe_sha256="probe")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above."""
    return SimpleNamespace(
        correction=correction,
        delivery=delivery,
        decision=decision,
        fact=fact,
        accepted=accepted,
        settled=settled,
        edit=edit,
        verdict=verdict,
        clock=Clock,
        base=BASE,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be had: a commit waits for the disk, and these tests make thousands."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=memory) as path:
        yield Path(path) / "state"


@pytest.fixture
def open_ledger(folder: Path) -> Iterator[Callable[..., SqliteLedger]]:
    """Opens the ledger in `folder`; whatever is still open at the end is closed."""
    opened: list[SqliteLedger] = []
    clock = Clock()

    def opener(**options: object) -> SqliteLedger:
        given = {"base_sha256": BASE, "policy_sha256": "p1", "clock": clock, **options}
        opened.append(SqliteLedger.open(folder, **given))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def ledger(open_ledger: Callable[..., SqliteLedger]) -> SqliteLedger:
    return open_ledger()
