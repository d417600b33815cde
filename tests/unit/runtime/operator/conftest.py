"""A ledger with a few epochs, written without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.sqlite_ledger import SqliteLedger

NOW_S = 1_000.0


@pytest.fixture
def make_fact() -> Callable[..., Fact]:
    def make(subject: str, **fields: Any) -> Fact:
        wordings = (f"The capital of {subject} is",)
        default = {"key": FactKey(subject, "capital"), "version": 1, "correction_id": "x", "target": "Rome"}
        return Fact(**{**default, "wordings": wordings, **fields})

    return make


@pytest.fixture
def ledger(tmp_path) -> Iterator[SqliteLedger]:
    """An empty ledger with epoch 0, as its coordinator has it."""
    with SqliteLedger.open(
        tmp_path, base_sha256="b" * 64, policy_sha256="p", weights_sha256="w", clock=lambda: NOW_S
    ) as opened:
        yield opened


@pytest.fixture
def change(ledger) -> Callable[..., None]:
    """Make an epoch in which these facts are live, and these keys have none."""

    def run(*facts: Fact, removed: tuple[FactKey, ...] = (), kind: str = "remember") -> None:
        changes = [Change(fact.key, fact) for fact in facts] + [Change(key, None) for key in removed]
        ledger.change_facts(changes, kind=kind, reason="a test")

    return run
