"""The probe sets that ship for models that others trained: from shipped facts and texts, nothing held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import guardedit
from guardedit.guard import ProbeSet
from guardedit.prepare.facts import load_public_facts, part_of
from guardedit.prepare.probes.texts import general_texts, held_out_in

FILES = sorted((Path(guardedit.__file__).parent / "zoo" / "prepared").glob("*/probes.json"))


def test_there_are_prepared_sets():
    assert {path.parent.name for path in FILES} >= {"smollm2", "gemma3"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_prepared_set_holds_nothing_that_is_held_out(path):
    probes = ProbeSet.load(path)
    assert held_out_in(probes.texts) == 0
    assert set(probes.texts) == {text for row in general_texts("guard").values() for text in row}
    assert {part_of(known.subject) for known in probes.questions} == {"build"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_prepared_set_asks_for_shipped_facts_in_two_wordings(path):
    probes = ProbeSet.load(path)
    facts = {(fact.subject, fact.relation): fact for fact in load_public_facts("build")}
    counts = Counter((known.subject, known.relation) for known in probes.questions)
    assert set(counts.values()) == {2}
    assert len(counts) >= 100
    for known in probes.questions:
        names = {name.casefold() for name in facts[known.subject, known.relation].names}
        assert known.answer.casefold() in names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_no_answer_fits_most_questions(path):
    """A ruined model gives the same answer to everything."""
    probes = ProbeSet.load(path)
    answers = Counter(known.answer for known in probes.questions)
    assert answers.most_common(1)[0][1] <= 0.15 * len(probes.questions)
    assert len({known.relation for known in probes.questions}) >= 15
