"""The command line in this process, and a ledger with a little of everything in it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from guardedit.cli.main import app
from guardedit.core.correction import Correction, Provenance, decode_correction, encode_correction
from guardedit.core.decision import Decision, Route, RuleTrace
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, Placement
from guardedit.core.messages import Delivery, Fate, Received, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.ledger.sqlite_ledger import SqliteLedger

POLICIES = Path(__file__).parents[3] / "policies"


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


#: Built once: that takes longer than most commands.
GROUP = typer.main.get_command(app)


def command(*arguments: object, stdin: bytes | str | None = None) -> CommandResult:
    """What `guardedit ARGUMENTS` says in this process."""
    code: Any = 0
    with CliRunner().isolation(input=stdin) as (out, err, _):
        try:
            GROUP.main([str(argument) for argument in arguments], prog_name="guardedit")
        except SystemExit as end:
            code = end.code
        return CommandResult(code, out.getvalue().decode(), err.getvalue().decode())


@pytest.fixture
def home() -> Iterator[Path]:
    """In memory where that can be had: every commit waits for the disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cli-", dir=memory) as path:
        yield Path(path) / "state"


@pytest.fixture
def guardedit(home, monkeypatch) -> Callable[..., CommandResult]:
    """Runs `guardedit ARGUMENTS` on `home`; anything but an exit is a traceback, and fails the test."""
    monkeypatch.setenv("GUARDEDIT_HOME", str(home))
    monkeypatch.setenv("GUARDEDIT_POLICY", str(POLICIES / "default.yaml"))

    return command


def correction(n: int, target: str = "Paris", confidence: float = 1.0) -> Correction:
    return Correction(
        id=f"c{n}",
        subject=f"Land {n}",
        prompt="The capital of {} is",
        relation="capital",
        target_new=target,
        provenance=Provenance(source="wiki", confidence=confidence),
    )


def fact_of(of: Correction, version: int = 1) -> Fact:
    return Fact(key=of.key, version=version, correction_id=of.id, wordings=of.wordings, target=of.target_new)


def _settled(row: Received, fate: Fate, route: Route) -> Settlement:
    of = decode_correction(row.raw)
    trace = (
        RuleTrace(rule="expires", matched=False, because="`has_expiry` is false"),
        RuleTrace(rule="all", matched=True, because="no condition"),
    )
    decision = Decision(route=route, rule="all", reason="as ever", policy_sha256="p1" * 32, trace=trace)
    change = Change(of.key, fact_of(of)) if fate is Fate.ACCEPTED else None
    reason = "as ever"
    return Settlement(seq=row.seq, fate=fate, reason=reason, correction=of, decision=decision, change=change)


@pytest.fixture
def ledger_file(home) -> Path:
    """Epochs 0 to 3: two facts remembered, one put into the weights; one held, one dead, one waiting."""
    clock = iter(float(second) for second in range(1_000, 9_000))
    with SqliteLedger.open(
        home, base_sha256="b" * 64, policy_sha256="p1" * 32, weights_sha256="w0", clock=lambda: next(clock)
    ) as ledger:
        raws = [encode_correction(correction(n)) for n in (1, 2)]
        raws += [encode_correction(correction(3, confidence=0.1)), b'{"subject": "\x1b[31m', b"{}"]
        ledger.receive(
            [Delivery(raw=raw, source="submit", position=f"f:{n}") for n, raw in enumerate(raws, 1)]
        )
        one, two, three, four, _ = ledger.pending(10)
        ledger.settle([_settled(one, Fate.ACCEPTED, Route.WEIGHTS)])
        ledger.settle(
            [
                _settled(two, Fate.ACCEPTED, Route.MEMORY),
                _settled(three, Fate.HELD, Route.HOLD),
                Settlement(seq=four.seq, fate=Fate.DEAD, reason="malformed: not a JSON object: \x1b[31m"),
            ]
        )
        fact = fact_of(correction(1))
        edit = WeightEdit(subject="Land 1", facts=(fact.id,), method="ridge", payload=b"payload")
        gate = Gate(name="perplexity_ratio", value=1.01, limit=1.02, at_most=True, outcome=Outcome.ACCEPT)
        ledger.commit(
            [Change(fact.key, fact.placed(Placement.WEIGHTS))],
            kind="promote",
            reason="1 subjects accepted",
            edits=[edit],
            weights_sha256="w1",
            expected=2,
            verdict=combine((gate,)),
        )
        ledger.note("turned_away", {"reasons": {fact_of(correction(2)).id: "full"}})
        ledger.note(
            "reading",
            {"epoch": 3, "log_ratio_to_base": 0.00995, "log_ratio_to_last_good": 0.0, "restart": False},
        )
    return home / "ledger.db"
