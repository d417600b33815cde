"""The list of numbered facts, and the questions that follow from it."""

from __future__ import annotations

import json

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.errors import UsageError
from guardedit.lab.consolidation.numbered import filling_pairs, mquake_pairs, numbered
from guardedit.lab.consolidation.questions import single_hop, two_hop


def test_each_old_fact_comes_before_its_new_one_whatever_the_seed(mquake):
    pairs = mquake_pairs(mquake)
    for seed in range(20):
        facts = numbered(pairs, 10_000, seed=seed)
        assert [one.number for one in facts] == list(range(6))
        for pair in pairs:
            assert [one.is_new for one in facts if one.pair == pair] == [False, True]
    assert numbered(pairs, 10_000, seed=1) == numbered(pairs, 10_000, seed=1)
    assert numbered(pairs, 10_000, seed=1) != numbered(pairs, 10_000, seed=2)


def test_a_list_ends_with_the_pair_that_reaches_its_size(mquake):
    pairs = mquake_pairs(mquake)
    assert len(numbered(pairs, 1, seed=0)) == 2
    assert len(numbered(pairs, pairs[0].size + 1, seed=0)) == 4
    assert numbered(pairs, 0, seed=0) == []


def test_a_line_is_a_correction_without_a_relation_as_old_as_its_number(mquake):
    line = numbered(mquake_pairs(mquake), 10_000, seed=0)[4]
    said = decode_correction(line.message())
    assert (said.id, said.relation, said.provenance.time_s) == ("n4", "", 4.0)
    assert line.statement == f"4. {said.wordings[0]} {said.target_new}."


def test_a_list_is_filled_first_with_other_facts_about_its_subjects(mquake, filling):
    pairs = mquake_pairs(mquake)
    found = list(filling_pairs(*filling, pairs, seed=0))
    assert [(pair.subject, pair.prompt, pair.new) for pair in found] == [
        ("Norway", "{} is based in", "Bergen"),
        ("Stelco", "{} is based in", "Hamilton"),
    ]
    assert all(pair.old != pair.new and not pair.question for pair in found)


def test_questions_ask_for_the_newest_facts_alone_and_in_chains(mquake, filling):
    pairs = mquake_pairs(mquake)
    facts = numbered([*pairs, *filling_pairs(*filling, pairs, seed=0)], 10_000, seed=0)
    assert {(one.text, one.answer) for one in single_hop(facts)} == {
        ("Who performed Hey Jude?", "Ada Stern"),
        ("What is the country of citizenship of Ada Stern?", "Norway"),
        ("What is the capital of Norway?", "Lima"),
    }
    chains = {one.text: (one.answer, one.outdated) for one in two_hop(facts)}
    assert sorted(chains.values()) == [("Lima", {"Oslo"}), ("Norway", {"Peru"})]
    assert any("of Ada Stern?" in text or "Ada Stern is a citizen of?" in text for text in chains)
    assert any(
        "Hey Jude" in text and text.startswith("What is the country of citizenship") for text in chains
    )


def test_files_of_another_kind_are_refused(mquake, filling, tmp_path):
    facts, patterns = filling
    with pytest.raises(UsageError, match=r"the patterns in .* cannot be read"):
        list(filling_pairs(facts, facts, [], seed=0))
    with pytest.raises(UsageError, match=r"the facts in .* cannot be read"):
        list(filling_pairs(patterns, patterns, [], seed=0))
    with pytest.raises(UsageError, match="cannot be read"):
        list(filling_pairs(tmp_path / "none", patterns, [], seed=0))


def test_an_edit_without_two_targets_makes_no_pair(mquake):
    body = json.loads(mquake.read_text())
    body[0]["requested_rewrite"][-1]["target_true"] = {"str": "LIMA"}
    mquake.write_text(json.dumps(body))
    assert [pair.subject for pair in mquake_pairs(mquake)] == ["Hey Jude", "Ada Stern"]
    body[0]["requested_rewrite"] = body[0]["requested_rewrite"][-1:]
    mquake.write_text(json.dumps(body))
    with pytest.raises(UsageError, match="has no edit with"):
        mquake_pairs(mquake)
