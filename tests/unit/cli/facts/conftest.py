"""A ledger as a coordinator opens it, and facts to put into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.sqlite_ledger import SqliteLedger


@pytest.fixture
def coordinator(home, ledger_file) -> Callable[..., SqliteLedger]:
    def opened(clock=time.time):
        return SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=clock)

    return opened


@pytest.fixture
def make_fact() -> Callable[..., Fact]:
    def make(subject: str, **fields: Any) -> Fact:
        wordings = (f"The capital of {subject} is",)
        default = {"key": FactKey(subject, "capital"), "version": 1, "correction_id": "x", "target": "Rome"}
        return Fact(**{**default, "wordings": wordings, **fields})

    return make


@pytest.fixture
def remember() -> Callable[..., None]:
    def run(ledger: SqliteLedger, *facts: Fact) -> None:
        ledger.change_facts([Change(one.key, one) for one in facts], kind="remember", reason="a test")

    return run
