from __future__ import annotations

import math

import pytest

from guardedit.core.fact import Placement
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.operator.status import ledger_status

NOW_S = 1_000.0


def test_live_facts_are_counted_by_placement_without_expired_ones(ledger, change, make_fact):
    change(make_fact("A"), make_fact("B"), make_fact("C", valid_until_s=NOW_S - 1))

    found = ledger_status(ledger, now_s=NOW_S)

    assert found.facts == {Placement.MEMORY: 2, Placement.WEIGHTS: 0}
    assert (found.epoch.number, found.last_good, found.held) == (1, ledger.refs()["last-good"], 0)
    assert math.isnan(found.perplexity_ratio)


def test_quarantined_facts_are_counted_among_those_kept_in_memory(ledger, change, make_fact):
    facts = {code: make_fact(code) for code in ("full", "breach")}
    change(*facts.values())
    reasons = {fact.id: {"code": code, "reason": code} for code, fact in facts.items()}
    ledger.note("kept", {"facts": reasons})

    found = ledger_status(ledger, now_s=NOW_S)

    assert (found.kept_in_memory, found.quarantined) == (2, 1)


@pytest.mark.parametrize(("log_ratio", "ratio"), [(0.0, 1.0), (1e9, math.inf)])
def test_the_last_measured_perplexity_is_shown_even_if_it_overflows(ledger, log_ratio, ratio):
    for value in (0.5, log_ratio):
        reading = {"epoch": 0, "log_ratio_to_base": value, "log_ratio_to_last_good": 0.0, "restart": False}
        ledger.note("reading", reading)

    assert ledger_status(ledger, now_s=NOW_S).perplexity_ratio == ratio


def test_a_ledger_without_an_epoch_has_a_status(tmp_path):
    with SqliteLedger.open(tmp_path, clock=lambda: NOW_S, writer=False) as empty:
        found = ledger_status(empty, now_s=NOW_S)

    assert (found.epoch, found.last_good, found.kept_in_memory) == (None, None, 0)
