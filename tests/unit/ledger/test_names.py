"""One name, many spellings: what the ledger finds by a name, and what it counts by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.correction import Correction, Op, Provenance, encode_correction
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery, Fate, LastChange, Settlement

SAID = Correction(
    id="a",
    subject="STELCO",
    prompt="{} sits in",
    relation="Seat",
    target_new="Hamilton",
    provenance=Provenance(time_s=500.0),
)


def fact_of(correction: Correction, *, version: int = 1, key: FactKey | None = None) -> Fact:
    return Fact(
        key=key or correction.key,
        version=version,
        correction_id=correction.id,
        wordings=correction.wordings,
        target=correction.target_new,
        reported_at_s=correction.provenance.time_s,
    )


def settle(ledger, correction: Correction, *changes: Change, fate: Fate = Fate.ACCEPTED, reach=(), **options):
    ledger.receive([Delivery(raw=encode_correction(correction), source="s", position=correction.id)])
    (row,) = ledger.pending(9)
    *displaced, change = changes or (None,)
    return ledger.settle(
        [
            Settlement(
                seq=row.seq,
                fate=fate,
                correction=correction,
                change=change,
                displaced=tuple(displaced),
                reach=reach,
            )
        ],
        **options,
    )


def test_a_name_keeps_the_spelling_in_which_it_came_first(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    assert ledger.canonical(FactKey("Stelco", "seat")) == SAID.key
    assert ledger.canonical(FactKey("\uff33\uff34\uff25\uff2c\uff23\uff2f", "SEAT")) == SAID.key
    assert ledger.canonical(SAID.key) == SAID.key


@pytest.mark.parametrize(
    "key", [FactKey("Stelco", "seat", "other"), FactKey("Stelco", "owner"), FactKey("Stelc", "seat")]
)
def test_another_tenant_relation_or_name_is_another_key(ledger, key):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    assert ledger.canonical(key) == key


def test_a_name_is_known_after_its_fact_is_gone(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    ledger.change_facts([Change(SAID.key, None)], kind="expire", reason="")
    assert ledger.canonical(FactKey("stelco", "seat")) == SAID.key


def test_facts_are_found_by_any_spelling_of_their_subject(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    assert ledger.find_fact("stelco") == ledger.find_fact("  STELCO ") == [fact_of(SAID)]


def test_the_last_change_says_who_asked_and_when_it_was_said(ledger):
    assert ledger.last_change(SAID.key) is None
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    assert ledger.last_change(SAID.key) == LastChange(correction_id="a", reported_at_s=500.0)


def test_a_retraction_is_the_last_change_with_its_own_time(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    said = replace(SAID, id="b", op=Op.RETRACT, target_new="", provenance=Provenance(time_s=600.0))
    settle(ledger, said, Change(SAID.key, None))
    assert ledger.last_change(SAID.key) == LastChange(correction_id="b", reported_at_s=600.0)


def test_an_expiry_is_a_last_change_that_nobody_asked_for(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    ledger.change_facts([Change(SAID.key, None)], kind="expire", reason="")
    assert ledger.last_change(SAID.key) == LastChange(correction_id="")


def test_a_fact_that_was_brought_back_has_the_time_of_its_own_message(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    ledger.change_facts([Change(SAID.key, None)], kind="undo", reason="")
    ledger.change_facts([Change(SAID.key, fact_of(SAID))], kind="redo", reason="")
    assert ledger.last_change(SAID.key) == LastChange(correction_id="a", reported_at_s=500.0)


def test_what_a_correction_displaces_goes_in_the_same_epoch_and_by_its_id(ledger):
    settle(ledger, SAID, Change(SAID.key, fact_of(SAID)))
    other = replace(SAID, id="b", relation="Home", target_new="Toronto")
    epoch = settle(ledger, other, Change(SAID.key, None), Change(other.key, fact_of(other)))
    assert list(ledger.live()) == [other.key]
    assert ledger.history(SAID.key)[-1] == (epoch.number, None, "b")
    assert ledger.receipt("b").epoch == epoch.number
    assert ledger.verify() == []


def test_the_name_that_most_corrections_reach_counts(ledger):
    for n, reach in enumerate([("paris", "rome"), ("paris",), ("oslo",)]):
        said = replace(SAID, id=f"c{n}", relation=f"r{n}")
        settle(ledger, said, Change(said.key, fact_of(said)), reach=reach)
    assert ledger.corrections_reaching(["rome", "paris", "bern"], since_s=0) == 2
    assert ledger.corrections_reaching(["bern"], since_s=0) == 0
    assert ledger.corrections_reaching([], since_s=0) == 0
    latest = max(row.at_s for row in ledger.log(kinds=["settled"]))
    assert ledger.corrections_reaching(["paris", "oslo"], since_s=latest) == 1


def test_only_accepted_corrections_reach_anything(ledger):
    settle(ledger, SAID, fate=Fate.HELD, reach=("paris",))
    assert ledger.corrections_reaching(["paris"], since_s=0) == 0


def test_what_was_superseded_on_arrival_is_decided_and_never_live(ledger):
    settle(ledger, SAID, fate=Fate.SUPERSEDED)
    assert ledger.decided_content("a")
    assert ledger.receipt("a").fate is Fate.SUPERSEDED
    assert ledger.live() == {}
    assert ledger.counts().corrections == {("s", "", "superseded"): 1}
