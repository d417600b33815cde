"""The benchmark on a small list, with the real encoder, ledger and decisions."""

from __future__ import annotations

import pytest

from guardedit.lab.consolidation.checklist import checklist
from guardedit.lab.consolidation.measure import Choice, counted, retrieve
from guardedit.lab.consolidation.numbered import filling_pairs, mquake_pairs, numbered
from guardedit.lab.consolidation.questions import ListQuestion
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.store import RetrievalMemory


@pytest.fixture
def memory() -> RetrievalMemory:
    return RetrievalMemory(SentenceEncoder.load())


@pytest.fixture
def facts(mquake, filling):
    pairs = mquake_pairs(mquake)
    return numbered([*pairs, *filling_pairs(*filling, pairs, seed=0)], 10_000, seed=0)


def test_the_newest_fact_is_found_alone_and_in_chains(facts, memory, tmp_path):
    choice = Choice(most=9, held_out=None, seed=0)
    found = retrieve(facts, memory, tmp_path, choice=choice, clock=lambda: 1e9)
    assert (found.facts, found.live) == (10, 5)
    assert {name: (one.asked, one.right, one.outdated) for name, one in found.rows.items()} == {
        "single-hop": (3, 3, 0),
        "single-hop, in scope": (3, 3, 0),
        "two-hop": (2, 2, 0),
    }


def test_the_checklist_gives_what_is_wanted(facts, memory, tmp_path):
    found = checklist(facts, memory, tmp_path, most=3, seed=0, clock=lambda: 1e9)
    assert {item.name: (item.share, item.cases) for item in found} == {
        "uptake at once": (1.0, 3),
        "old reports refused": (1.0, 3),
        "resurrection": (0.0, 3),
        "collateral": (0.0, 2),
        "scope precision": (1.0, 3),
        "provenance": (1.0, 3),
    }


def test_answers_are_counted_as_right_outdated_or_nothing():
    asked = [ListQuestion("?", "Lima", frozenset({"Oslo"}), held_out=False)] * 4
    found = counted(asked, ["LIMA", "Oslo", "", "Lima is it"])
    assert (found.asked, found.right, found.outdated, found.nothing, found.share) == (4, 1, 1, 1, 0.25)
    said = counted(asked, ["It is Lima. Not Oslo.", "Oslo.", "Perhaps. Lima", ""], said=True)
    assert (said.right, said.outdated, said.nothing) == (1, 1, 1)
