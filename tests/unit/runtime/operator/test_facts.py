from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.errors import UsageError
from guardedit.runtime.operator.facts import (
    expired_facts,
    fact_history,
    fact_record,
    find_facts,
    kept_facts,
    live_facts,
    release_facts,
)

NOW_S = 1_000.0
HARM = {"code": "harm", "reason": "perplexity_ratio 1.4 > 1.02", "epoch": 1, "tries": 0}


def test_a_fact_is_live_until_it_expires_and_is_listed_as_expired_after_that(ledger, change, make_fact):
    over, lasting = make_fact("A", valid_until_s=NOW_S - 1), make_fact("B", valid_until_s=NOW_S + 1)
    change(over, lasting)

    assert live_facts(ledger, 1, now_s=NOW_S) == [lasting]
    assert expired_facts(ledger, 1, now_s=NOW_S) == [over]

    change(removed=(over.key,), kind="expire")
    assert expired_facts(ledger, 2, now_s=NOW_S) == [over]
    assert expired_facts(ledger, 2, now_s=NOW_S + 2) == [over, lasting]


def test_a_key_that_was_removed_for_another_reason_is_not_expired(ledger, change, make_fact):
    fact = make_fact("A", valid_until_s=NOW_S - 1)
    change(fact)
    change(removed=(fact.key,), kind="undo")

    assert expired_facts(ledger, 2, now_s=NOW_S) == []


def test_facts_are_found_by_id_and_by_subject(ledger, change, make_fact):
    fact = make_fact("Land A")
    change(fact)

    assert find_facts(ledger, fact.id) == find_facts(ledger, "LAND A") == [fact]
    with pytest.raises(UsageError, match="list the facts with `guardedit facts list`"):
        find_facts(ledger, "Land B")


def test_a_kept_fact_is_released_once(ledger, change, make_fact):
    fact, other = make_fact("A"), make_fact("B")
    change(fact, other)
    ledger.note("kept", {"facts": {fact.id: HARM}})
    assert [(one, reason.code) for one, reason in kept_facts(ledger, now_s=NOW_S)] == [(fact, "harm")]
    assert fact_record(ledger, fact, now_s=NOW_S).kept.reason == HARM["reason"]
    assert fact_record(ledger, other, now_s=NOW_S).kept is None

    assert list(release_facts(ledger, ["A"], now_s=NOW_S)) == [fact]

    assert kept_facts(ledger, now_s=NOW_S) == []
    with pytest.raises(UsageError, match="nothing keeps 'A' out of the weights"):
        list(release_facts(ledger, ["A"], now_s=NOW_S))


def test_a_superseded_version_is_not_live(ledger, change, make_fact):
    old = make_fact("A")
    new = replace(old, version=2, target="Oslo")
    change(old)
    change(new)

    assert (fact_record(ledger, old, now_s=0).live, fact_record(ledger, new, now_s=0).live) == (False, True)
    history = fact_history(ledger, "A")
    assert [(epoch.number, version.fact) for _, epoch, version in history] == [(1, old), (2, new)]


def test_a_fact_that_was_undone_is_found_by_its_subject_and_comes_back(ledger, change, make_fact):
    fact = make_fact("A")
    change(fact)
    change(removed=(fact.key,), kind="undo")
    assert find_facts(ledger, fact.key.subject) == [fact]
    change(fact)
    assert find_facts(ledger, fact.key.subject) == [fact]
    assert ledger.removed_facts(fact.key.subject) == []
