"""The scope test is a pure function; these tests give it numbers and look at what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import MINILM_SHA256
from guardedit.memory.scope import Features, ScopeThresholds, ScopeVerdict, judge_scope

SURE = Features(full=0.9, own=1.0, relation=1.0, rival=0.3, rivals=20, overlap=1.0, named=True)
OTHER = replace(SURE, own=0.3, relation=0.3, rival=1.0, overlap=0.1)


@pytest.fixture(scope="module")
def shipped() -> ScopeThresholds:
    return ScopeThresholds.load()


def test_the_shipped_thresholds_are_for_minilm_and_have_a_band(shipped):
    assert shipped.encoder_sha256 == MINILM_SHA256
    assert 0 < shipped.reject < shipped.accept < 1


def verdict(features: Features, thresholds: ScopeThresholds) -> ScopeVerdict:
    return judge_scope(features, thresholds.score(features), thresholds)


def test_the_same_words_are_accepted_and_another_relation_is_out(shipped):
    assert verdict(SURE, shipped).scope == "accept"
    assert verdict(OTHER, shipped).scope == "out"
    assert verdict(OTHER, shipped).score == shipped.score(OTHER) < shipped.score(SURE)


def test_a_score_between_the_cuts_is_unsure(shipped):
    middle = (shipped.accept + shipped.reject) / 2
    wanted = math.log(middle / (1 - middle))
    flat = replace(shipped, weights=(0.0,) * len(shipped.weights), bias=wanted)
    assert verdict(SURE, flat).scope == "unsure"


def test_a_subject_that_is_not_named_is_at_most_unsure(shipped):
    near = Features(full=0.999)
    assert verdict(near, shipped).scope == "unsure"
    assert verdict(replace(near, full=shipped.alias_cosine - 0.01), shipped).scope == "out"
    assert shipped.score(near) == 0.0


def test_a_name_that_goes_on_is_unsure_unless_the_words_are_known(shipped):
    longer = replace(SURE, relation=0.95, own=0.95, doubtful=True)
    assert verdict(longer, shipped).scope == "unsure"
    assert verdict(replace(SURE, doubtful=True), shipped).scope == "accept"


def test_thresholds_survive_a_file(shipped, tmp_path: Path):
    shipped.save(tmp_path / "t.json")
    assert ScopeThresholds.load(tmp_path / "t.json") == shipped


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"weights": [1]}'])
def test_unreadable_thresholds_name_the_remedy(tmp_path: Path, body: str):
    path = tmp_path / "t.json"
    path.write_text(body)
    with pytest.raises(MemoryIndexError, match=r"guardedit\.memory\.fitting\.calibrate"):
        ScopeThresholds.load(path)


def test_thresholds_in_the_wrong_order_are_refused(shipped):
    with pytest.raises(MemoryIndexError, match="reject <= accept"):
        replace(shipped, accept=0.1, reject=0.9)
    with pytest.raises(MemoryIndexError, match="8 weights"):
        replace(shipped, weights=(1.0,))
